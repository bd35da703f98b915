"""An agent within an agent: a react graph of its own, with its own prompt and tools, that is handed one task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphRecursionError

from graphs.approval import needs_approval
from graphs.messages import text_of
from graphs.provenance import Seen, handed_on, seen_in
from graphs.react import compose_agent
from graphs.spec import GraphOptions
from graphs.tools.declaration import declaration_of
from services.errors import ConfigurationError, ContextTooLong, ModelOutputTooLarge, StepLimitExceeded
from services.runs.types import RunContext

_WITHOUT_SAVER = {"__pregel_durability": "async"}
"""LangGraph hands `durability` on to the graphs in a node, and "sync" fails in one that has no saver to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a specialist gives back: its answer, or, where `ok` is False, why there is none; and what had tainted it."""

    text: str
    ok: bool = True
    tainted_by: tuple[str, ...] = ()


class Specialist:
    """Compiled once, shared by all runs. Its text and its tools are events with its name as their `source`.

    Nothing of it is checkpointed: what a thread keeps of a specialist's work is its report. When its run is taken over, or goes
    on after a person was asked, a specialist begins anew and asks for other calls; so it cannot have tools that need to be
    the same ones then. Raises ConfigurationError for those.
    """

    def __init__(self, name: str, options: GraphOptions, tools: Sequence[BaseTool]) -> None:
        for tool in tools:
            if needs_approval(tool):
                raise ConfigurationError(
                    f"{tool.name!r} cannot be put under approval here: in this kind of graph specialists call the tools.",
                    param="approve",
                )
            if declaration_of(tool).ledgered:
                raise ConfigurationError(
                    f"{tool.name!r} has an effect: in this kind of graph specialists call the tools, and may do so twice.",
                    param="tools",
                )
        self.name = name
        self._max_steps = options.max_steps
        # Nobody can be asked here: the question would be another one when the run goes on.
        options = replace(options, effects=replace(options.effects, hold="refuse"))
        graph = compose_agent(options, tools, role=name, source=name)
        self._graph = graph.compile(checkpointer=False, name=name)

    async def work(self, task: str, context: RunContext, seen: Seen) -> Report:
        """Carry out `task`. What went wrong with this task alone is a report; a provider that is down fails the run.

        `seen` is what those had read who wrote the task: it taints this agent too, and the user's words in it are the user's.
        """
        config = RunnableConfig(recursion_limit=self._max_steps, configurable=_WITHOUT_SAVER)
        asked = handed_on(HumanMessage(content=task), seen)
        try:
            state = await self._graph.ainvoke({"messages": [asked]}, config, context=context)
        except GraphRecursionError:
            return Report(text=f"Failed: it took more than {self._max_steps} steps.", ok=False)
        except (StepLimitExceeded, ContextTooLong, ModelOutputTooLarge) as error:
            return Report(text=f"Failed: {error.message}", ok=False)
        messages = state["messages"]
        return Report(text=text_of(messages[-1]), tainted_by=seen_in(messages, context.run).tainted_by)
