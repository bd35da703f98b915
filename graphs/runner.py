"""One turn of a compiled graph: our run in, its new messages out."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph

from graphs.messages import finish_reason_of, from_langchain, to_langchain
from graphs.state import this_turn
from services.errors import InternalError, InvalidRequest, StepLimitExceeded
from services.runs.types import GraphResult, RunContext

Compiled = CompiledStateGraph[Any, Any, Any, Any]


class GraphRunner:
    """A served agent, as `services.runs.types.Graph`: stateless, shared by all runs of a replica.

    Text and tool events reach the client through the run's context, so nothing is streamed by LangGraph and a turn costs
    one `ainvoke`. `lasting` remembers threads in its checkpointer, once, when the turn ends; `fleeting` is the same graph
    without one, for threads that nobody can come back to.

    Cancel the task that runs `invoke` once and wait for it: LangGraph then cancels its nodes. Cancelling it again while it
    is closing can leave them running, so a run must have a task of its own, outside any level-triggered scope.
    """

    def __init__(self, *, lasting: Compiled | None, fleeting: Compiled, max_steps: int) -> None:
        self._lasting = lasting
        self._fleeting = fleeting
        self._max_steps = max_steps

    async def invoke(self, context: RunContext) -> GraphResult:
        """Run one turn. Raises StepLimitExceeded, InvalidRequest without messages, and what the model or a node raises."""
        run = context.run
        if not run.messages:
            raise InvalidRequest("There must be at least one message.", param="messages")
        inputs = [to_langchain(message, message_id=f"{run.id}:{n}") for n, message in enumerate(run.messages)]
        config = RunnableConfig(
            recursion_limit=self._max_steps, configurable={"thread_id": str(run.thread_id), "tenant_id": run.tenant_id}
        )
        try:
            if run.ephemeral or self._lasting is None:
                state = await self._fleeting.ainvoke({"messages": inputs}, config, context=context)
            else:
                state = await self._lasting.ainvoke({"messages": inputs}, config, context=context, durability="exit")
        except GraphRecursionError:
            raise StepLimitExceeded(f"The agent took more than {self._max_steps} steps.") from None
        return _result(state["messages"], inputs[-1].id)


def _result(messages: Sequence[BaseMessage], last_input_id: str | None) -> GraphResult:
    added = this_turn(messages)
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].id == last_input_id:
            added = messages[index + 1 :]
            break
    if not added or not isinstance(added[-1], AIMessage):
        raise InternalError("The graph ended without an answer of the assistant.")
    return GraphResult(
        messages=tuple(from_langchain(message) for message in added), finish_reason=finish_reason_of(added[-1])
    )
