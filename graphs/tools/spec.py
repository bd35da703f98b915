"""What a tool is, to the registry and to the builder."""

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.tools import BaseTool

from graphs.tools.effects import Effect
from graphs.tools.resources import ToolResources

ToolFactory = Callable[[ToolResources], BaseTool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A registered tool. `network` says that its calls leave the process, so that others' failures are its own: it gets a
    circuit breaker. A tool without an `effect` only reads, and is called again where a run is taken over.
    """

    factory: ToolFactory
    network: bool = False
    effect: Effect | None = None
