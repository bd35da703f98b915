"""One turn of a compiled graph: our run in, its new messages or its questions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Durability

from graphs.decisions import DecisionDesk, told_of
from graphs.messages import finish_reason_of, from_langchain, to_langchain
from graphs.outside import FencedModel, OutsideOptions
from graphs.provenance import incoming
from graphs.saver import Checkpointing, config_of
from graphs.state import this_turn
from graphs.write_behind import WriteBehind
from services.errors import InternalError, InvalidRequest, StepLimitExceeded
from services.runs.types import GraphResult, RunContext
from services.types import Interruption, Run

Compiled = CompiledStateGraph[Any, Any, Any, Any]

INTERRUPT = "__interrupt__"
"""Where LangGraph puts the questions that ended a turn, beside the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What LangGraph is invoked with, and the id of the last message before those of this turn."""

    input: Any
    after: str | None


class GraphRunner:
    """A served agent, as `services.runs.types.Graph`: stateless, shared by all runs of a replica.

    Text and tool events reach the client through the run's context, so nothing is streamed by LangGraph and a turn costs
    one `ainvoke`. Without `checkpointing` no thread is remembered, no run is resumed, and no question can be answered.

    Cancel the task that runs `invoke` once and wait for it: LangGraph then cancels its nodes. Cancelling it again while it
    is closing can leave them running, so a run must have a task of its own, outside any level-triggered scope.
    """

    def __init__(
        self,
        graph: Compiled,
        desk: DecisionDesk,
        *,
        checkpointing: Checkpointing | None,
        max_steps: int,
        outside: OutsideOptions | None = None,
    ) -> None:
        self._graph = graph
        self._outside = outside or OutsideOptions()
        self._desk = desk
        self._checkpointing = checkpointing
        self._max_steps = max_steps

    async def invoke(self, context: RunContext) -> GraphResult:
        """Run one turn: from its input, from what a person decided, or from where it was when it was taken over.

        Raises StepLimitExceeded, InvalidRequest without messages or for decisions that do not fit, StoreUnavailable and
        RunSuperseded where the turn's checkpoints cannot be stored, and what the model or a node raises.
        """
        context = replace(context, model=FencedModel(context.model, self._outside))
        if self._checkpointing is None:
            return await self._turn(context, None)
        async with self._checkpointing.of(context) as checkpoints:
            return await self._turn(replace(context, checkpoints=checkpoints), checkpoints)

    async def _turn(self, context: RunContext, checkpoints: WriteBehind | None) -> GraphResult:
        config = config_of(context, checkpoints, max_steps=self._max_steps)
        start = await self._start(context, config)
        durability: Durability | None = None if checkpoints is None else "sync"
        try:
            state = await self._graph.ainvoke(start.input, config, context=context, durability=durability)
        except GraphRecursionError:
            raise StepLimitExceeded(f"The agent took more than {self._max_steps} steps.") from None
        questions = told_of(state.get(INTERRUPT, ()))
        if questions and checkpoints is not None:
            checkpoints.pause()
        return _result(_added(state.get("messages", ()), start.after), questions)

    async def _start(self, context: RunContext, config: RunnableConfig) -> _Start:
        run = context.run
        inputs = [
            incoming(to_langchain(message, message_id=f"{run.id}:{n}"), run) for n, message in enumerate(run.messages)
        ]
        last_input = inputs[-1].id if inputs else None
        if self._checkpointing is not None and context.claim.progress is not None:
            return _Start(input=None, after=last_input or await self._before(run, config))
        if run.decisions is not None:
            return await self._decided(run, config)
        if not inputs:
            raise InvalidRequest("There must be at least one message.", param="messages")
        return _Start(input={"messages": inputs}, after=last_input)

    async def _decided(self, run: Run, config: RunnableConfig) -> _Start:
        """Go on with a turn that a question has ended."""
        asked = None if self._checkpointing is None else await self._graph.aget_state(config)
        answers = self._desk.answers(run, () if asked is None else asked.interrupts)
        return _Start(input=Command(resume=dict(answers)), after=_last_id(asked.values) if asked else None)

    async def _before(self, run: Run, config: RunnableConfig) -> str | None:
        """Return the id of the last message that the thread had before this run, which another replica began."""
        if self._checkpointing is None:
            return None
        earlier = [
            found
            async for found in self._checkpointing.saver.alist(config)
            if found.metadata.get("run_id") != str(run.id) and not found.config["configurable"]["checkpoint_ns"]
        ]
        last = max(earlier, key=lambda found: found.metadata.get("step", -1), default=None)
        return None if last is None else _last_id(last.checkpoint["channel_values"])


def _last_id(values: Mapping[str, Any]) -> str | None:
    messages: Sequence[BaseMessage] = values.get("messages", ())
    return messages[-1].id if messages else None


def _added(messages: Sequence[BaseMessage], after: str | None) -> Sequence[BaseMessage]:
    """Return the messages of this turn: what came after that message, or, where that has gone, after the last of the user."""
    for index in range(len(messages) - 1, -1, -1):
        if after is not None and messages[index].id == after:
            return messages[index + 1 :]
    return this_turn(messages)


def _result(added: Sequence[BaseMessage], questions: tuple[Interruption, ...]) -> GraphResult:
    turn = tuple(from_langchain(message) for message in added)
    if questions:
        return GraphResult(messages=turn, interrupts=questions)
    if not added or not isinstance(added[-1], AIMessage):
        raise InternalError("The graph ended without an answer of the assistant.")
    return GraphResult(messages=turn, finish_reason=finish_reason_of(added[-1]))
