"""How agents think: the kinds of graph that can be served, by the `kind` that settings know them by.

To add one: write a function that lays out a LangGraph `StateGraph` in a file of this folder, and list it here.
"""

from collections.abc import Mapping

from graphs import react
from graphs.spec import GraphSpec

GRAPHS: Mapping[str, GraphSpec] = {
    "react": GraphSpec(compose=react.compose, prompts=("system",)),
}
