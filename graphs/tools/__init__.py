"""The tools that an agent can be given, by the name under which settings and models know them.

A tool is an ordinary async LangChain tool, made by a factory from `ToolResources`. To add one: write the factory in a file
of this folder and list it here.
"""

from collections.abc import Mapping

from graphs.tools.calculator import calculator
from graphs.tools.clock import clock
from graphs.tools.resources import ToolFactory
from graphs.tools.search_documents import search_documents

TOOLS: Mapping[str, ToolFactory] = {
    "calculator": calculator,
    "clock": clock,
    "search_documents": search_documents,
}
