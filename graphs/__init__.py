"""How agents think: the kinds of graph that can be served, by the `kind` that settings know them by.

To add one: write a function that lays out a LangGraph `StateGraph` in a file of this folder, and list it here.
"""

from collections.abc import Mapping

from graphs import plan_execute, react, supervisor
from graphs.spec import GraphSpec

GRAPHS: Mapping[str, GraphSpec] = {
    "react": GraphSpec(compose=react.compose, prompts=("system",)),
    "plan_execute": GraphSpec(compose=plan_execute.compose, prompts=("planner", "executor", "writer")),
    "supervisor": GraphSpec(compose=supervisor.compose, prompts=("supervisor", "math", "research")),
}
