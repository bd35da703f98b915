"""What a tool is, to the registry and to the builder."""

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.tools import BaseTool

from graphs.tools.declaration import Declaration
from graphs.tools.resources import ToolResources

ToolFactory = Callable[[ToolResources], BaseTool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec(Declaration):
    """A registered tool: its declaration, and how it is made."""

    factory: ToolFactory
