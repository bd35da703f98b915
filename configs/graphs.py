"""The settings of the agents that are served."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from configs.section import Name, Section


class HistorySettings(Section):
    """How much of a thread a graph's models are shown."""

    max_tokens: int | None = Field(
        default=None,
        ge=256,
        description="what a call may send; unset: what the smallest window of its providers has room for, if known",
    )
    summarise: bool = Field(default=True, description="whether a model call notes what no longer fits")


class GraphSettings(Section):
    """A served agent: clients choose it by its key, as their `model`."""

    kind: Name = Field(description="a key of graphs.GRAPHS")
    description: str
    tools: tuple[Name, ...] = ()
    approve: tuple[Name, ...] = Field(default=(), description="those of its tools whose every call a person approves")
    allow_targets: Mapping[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="by tool: what a tainted turn may reach too; *.example.com, *@example.com or folder/* for all below it",
    )
    hold: Literal["ask", "refuse"] = Field(
        default="ask", description="what becomes of a call to any other: a person is asked, or it is not made"
    )
    mark_outside: bool = Field(
        default=False,
        description="whether text from outside is shown with its spaces marked; small models cannot read it",
    )
    providers: tuple[Name, ...] = Field(
        default=(), description="which are asked, in this order; unset: all, as they are listed"
    )
    prompts: Mapping[str, str] = Field(default_factory=dict, description="by role; overlaid live by user_config")
    history: HistorySettings = HistorySettings()
    max_tool_rounds: int = Field(default=4, ge=0, le=64)
    max_steps: int = Field(default=40, ge=2, le=500, description="graph steps, LangGraph's recursion limit")
