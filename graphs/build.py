"""From names in the settings to graphs that run: everything that can be wrong is refused here, before the first run."""

import random as dice
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import BaseTool
from langgraph.store.base import BaseStore

from graphs import GRAPHS
from graphs.approval import needing_approval
from graphs.decisions import DecisionDesk
from graphs.outside import OutsideOptions
from graphs.runner import GraphRunner
from graphs.saver import Checkpointing, RunSaver
from graphs.spec import GraphOptions, GraphSpec
from graphs.tools import TOOLS
from graphs.tools.care import TOOL_BREAKER
from graphs.tools.declaration import declaration_of, declared
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError
from services.resilience.breaker import Breaker, BreakerListener
from services.resilience.policy import BreakerPolicy


def build_tools(names: Sequence[str], resources: ToolResources) -> tuple[BaseTool, ...]:
    """Make the named tools. Raises ConfigurationError for an unknown name, and for a tool that is not async."""
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise ConfigurationError(f"There is no tool {unknown[0]!r}. The tools are: {', '.join(TOOLS)}.", param="tools")
    return tuple(declared(TOOLS[name].factory(resources), TOOLS[name]) for name in names)


def tool_breakers(
    policy: BreakerPolicy = TOOL_BREAKER,
    *,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = dice.random,
    listeners: Sequence[BreakerListener] = (),
) -> Mapping[str, Breaker]:
    """Make a breaker, called `tool:<name>`, for every tool whose calls leave the process: for `ToolCare`, once per replica."""
    return {
        name: Breaker(f"tool:{name}", policy, clock=clock, random=random, listeners=listeners)
        for name, spec in TOOLS.items()
        if spec.network
    }


def build(
    kind: str,
    options: GraphOptions,
    tools: Sequence[BaseTool],
    checkpointing: Checkpointing | None = None,
    store: BaseStore | None = None,
) -> GraphRunner:
    """Compile a graph, once per replica. Without `checkpointing` no thread is remembered, and no run can be resumed.

    Nodes find `store` as `runtime.store`; all runs share it: see `graphs.memories.RunMemories`.

    Raises ConfigurationError for an unknown kind, for tools that it does not take, for two tools of one name, for a tool or a
    node that is not async, for targets allowed to a tool that has none, and for tools with effects or under approval where
    the kind or the care cannot look after them.
    """
    spec = _spec(kind)
    if tools and not spec.takes_tools:
        raise ConfigurationError(f"A graph of kind {kind!r} takes no tools.", param="tools")
    _check_tools(tools)
    tools = _under_approval(tools, options.approve)
    _check_allowed(tools, options)
    if checkpointing is None:  # no run can be resumed, so nobody can be asked
        options = replace(options, effects=replace(options.effects, hold="refuse"))
    graph = spec.compose(options, tools)
    for name, node in graph.nodes.items():
        if _is_sync(node.runnable):
            raise ConfigurationError(
                f"The node {name!r} of {kind!r} is a plain function, which cannot be cancelled: write `async def`."
            )
    saver = None if checkpointing is None else RunSaver(checkpointing.saver)
    return GraphRunner(
        graph.compile(checkpointer=saver, store=store, name=kind),
        DecisionDesk(tools),
        checkpointing=checkpointing,
        max_steps=options.max_steps,
        outside=OutsideOptions(
            mark=options.mark_outside, expected=any(declaration_of(tool).returns == "untrusted" for tool in tools)
        ),
    )


def check_prompts(kind: str, prompts: Mapping[str, str]) -> None:
    """Raise ConfigurationError when a prompt that the kind needs is missing, or one is given that it does not know."""
    spec = _spec(kind)
    known = (*spec.prompts, *spec.optional_prompts)
    for role in spec.prompts:
        if role not in prompts:
            raise ConfigurationError(f"A graph of kind {kind!r} needs the prompt {role!r}.", param=f"prompts.{role}")
    for role in prompts:
        if role not in known:
            message = f"A graph of kind {kind!r} has no prompt {role!r}. It has: {', '.join(known)}."
            raise ConfigurationError(message, param=f"prompts.{role}")


def _spec(kind: str) -> GraphSpec:
    spec = GRAPHS.get(kind)
    if spec is None:
        raise ConfigurationError(
            f"There is no kind of graph {kind!r}. The kinds are: {', '.join(GRAPHS)}.", param="kind"
        )
    return spec


def _is_sync(runnable: object) -> bool:
    """Whether LangGraph would run a node in a thread: it wraps a plain function so that it looks async."""
    afunc = getattr(runnable, "afunc", None)
    in_a_thread = isinstance(afunc, partial) and afunc.func is run_in_executor
    return getattr(runnable, "func", None) is not None and (afunc is None or in_a_thread)


def _under_approval(tools: Sequence[BaseTool], names: Sequence[str]) -> Sequence[BaseTool]:
    known = [tool.name for tool in tools]
    for name in names:
        if name not in known:
            message = f"{name!r} is not one of the tools of this agent: {', '.join(known) or 'it has none'}."
            raise ConfigurationError(message, param="approve")
    return [needing_approval(tool) if tool.name in names else tool for tool in tools]


def _check_allowed(tools: Sequence[BaseTool], options: GraphOptions) -> None:
    sinks = {tool.name: declaration_of(tool).sinks for tool in tools}
    for name in options.effects.allowed:
        if not sinks.get(name):
            message = f"{name!r} is not one of the tools of this agent that declare a target."
            raise ConfigurationError(message, param="allow_targets")


def _check_tools(tools: Sequence[BaseTool]) -> None:
    names = [tool.name for tool in tools]
    for tool in tools:
        if names.count(tool.name) > 1:
            raise ConfigurationError(f"Two tools are called {tool.name!r}.", param="tools")
        # StructuredTool and Tool carry a coroutine; any other tool class has to override BaseTool._arun.
        has_coroutine = getattr(tool, "coroutine", None) is not None
        own_arun = not hasattr(tool, "coroutine") and type(tool)._arun is not BaseTool._arun  # noqa: SLF001  # LangChain's documented override point
        if not (has_coroutine or own_arun):
            raise ConfigurationError(
                f"The tool {tool.name!r} is a plain function, which cannot be cancelled: write `async def`.",
                param="tools",
            )
