"""The tools that an agent can be given, by the name under which settings and models know them.

A tool is an ordinary async LangChain tool, made by a factory from `ToolResources`. To add one: write the factory in a file
of this folder and list it here with what it declares (`graphs.tools.declaration`). The documents are trusted because it is the
operator who puts them into the store.
"""

from collections.abc import Mapping

from graphs.tools.calculator import calculator
from graphs.tools.clock import clock
from graphs.tools.fetch import fetch
from graphs.tools.memory import recall, remember
from graphs.tools.search_documents import search_documents
from graphs.tools.spec import ToolSpec

TOOLS: Mapping[str, ToolSpec] = {
    "calculator": ToolSpec(factory=calculator, effect="read", returns="trusted"),
    "clock": ToolSpec(factory=clock, effect="read", returns="trusted"),
    "fetch": ToolSpec(factory=fetch, effect="egress", sinks={"url": "url"}, repeat="freely", returns="untrusted"),
    "recall": ToolSpec(factory=recall, effect="read", returns="trusted", network=True),
    "remember": ToolSpec(factory=remember, effect="write", repeat="idempotent", returns="trusted", network=True),
    "search_documents": ToolSpec(factory=search_documents, effect="read", returns="trusted", network=True),
}
