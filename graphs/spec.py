"""What a kind of graph is, to the registry and to the builder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph

from graphs.history import HistoryOptions
from graphs.tools.care import ToolCare
from graphs.tools.gate import EffectPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """What an operator decides about a served agent, all of it bounded so that no model can keep a run going for ever.

    `max_tool_rounds` counts model answers with tool calls per turn, and per specialist or plan step where a graph has
    those; after them the model is called without tools. `max_steps` is LangGraph's recursion limit. `approve` names the tools
    that a person has to approve each call of. `effects` says what becomes of calls that a tainted turn may not make unasked;
    with `mark_outside` a model is shown text from outside with its spaces marked.
    """

    max_tool_rounds: int = 4
    max_steps: int = 40
    max_handovers: int = 4
    max_plan_steps: int = 5
    approve: tuple[str, ...] = ()
    effects: EffectPolicy = field(default_factory=EffectPolicy)
    mark_outside: bool = False
    history: HistoryOptions = field(default_factory=HistoryOptions)
    tool_care: ToolCare = field(default_factory=ToolCare)


Compose = Callable[[GraphOptions, Sequence[BaseTool]], StateGraph[Any, Any, Any, Any]]
"""Lays out a graph, uncompiled. Its state needs a `messages` channel that ends with the assistant's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSpec:
    """A registered kind of graph. `prompts` are the roles it cannot do without, `optional_prompts` those it can.

    A kind that has no use for tools says so in `takes_tools`, and settings that give it some are refused.
    """

    compose: Compose
    prompts: tuple[str, ...] = ()
    optional_prompts: tuple[str, ...] = ("final", "summary")
    takes_tools: bool = True
