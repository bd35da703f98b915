"""The tools that an agent can be given, by the name under which settings and models know them.

A tool is an ordinary async LangChain tool, made by a factory from `ToolResources`. To add one: write the factory in a file
of this folder and list it here, with `network=True` if its calls leave the process.
"""

from collections.abc import Mapping

from graphs.tools.calculator import calculator
from graphs.tools.clock import clock
from graphs.tools.memory import recall, remember
from graphs.tools.search_documents import search_documents
from graphs.tools.spec import ToolSpec

TOOLS: Mapping[str, ToolSpec] = {
    "calculator": ToolSpec(factory=calculator),
    "clock": ToolSpec(factory=clock),
    "recall": ToolSpec(factory=recall, network=True),
    "remember": ToolSpec(factory=remember, network=True, effect="idempotent"),
    "search_documents": ToolSpec(factory=search_documents, network=True),
}
