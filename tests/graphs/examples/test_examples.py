"""The examples of docs/graphs.md: they run as they are printed, added to the registries by one line each."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from graphs import GRAPHS
from graphs.build import build, build_tools, check_prompts
from graphs.spec import GraphOptions, GraphSpec
from graphs.tools import TOOLS
from graphs.tools.spec import ToolSpec
from services.errors import ConfigurationError
from services.events import TextDelta
from tests.graphs import test_contract
from tests.graphs.examples import draft_review, plain_langchain
from tests.graphs.examples.days_until import days_until
from tests.graphs.fakes import calls, make_graph, memory, resources, says, shape, turn

DOCS = Path(__file__).parents[3] / "docs" / "graphs.md"
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader of the guide adds to `TOOLS` and `GRAPHS`."""
    monkeypatch.setattr(
        "graphs.build.TOOLS", {**TOOLS, "days_until": ToolSpec(factory=days_until, effect="read", returns="trusted")}
    )
    added = {
        "draft_review": GraphSpec(compose=draft_review.compose, prompts=("writer", "critic"), takes_tools=False),
        "plain_langchain": GraphSpec(compose=plain_langchain.compose, prompts=("system",)),
    }
    monkeypatch.setattr("graphs.build.GRAPHS", {**GRAPHS, **added})


async def test_the_added_tool_works() -> None:
    """A tool of one file and one line is called by an agent, and its mistakes are explained."""
    asked = calls(("days_until", {"day": "2026-12-24"}), ("days_until", {"day": "Christmas"}))
    turned = turn(asked, says("32 days."))
    tools = build_tools(["days_until"], resources())
    await build("react", GraphOptions(), tools).invoke(turned.context)
    assert [text for role, text in turned.model.asked[1].texts if role == "tool"] == [
        "32 days until Thursday, 24 December 2026",
        "'Christmas' is not a date. Write it as 2026-12-31.",
    ]


async def test_the_added_graph_works() -> None:
    """A graph of one file and one line is served like the others: only its answer is the answer."""
    prompts = {"writer": "Write.", "critic": "Object."}
    check_prompts("draft_review", prompts)
    turned = turn(says("draft"), says("too short"), says("The answer."), prompts=prompts)
    result = await build("draft_review", GraphOptions(), ()).invoke(turned.context)
    assert [(event.source, event.text) for event in turned.events.of(TextDelta)] == [
        ("critic", "too short"),
        (None, "The answer."),
    ]
    assert [message.content for message in result.messages] == ["The answer."]
    with pytest.raises(ConfigurationError, match="takes no tools"):
        build("draft_review", GraphOptions(), build_tools(["clock"], resources()))


@pytest.mark.parametrize(
    "promise",
    [
        test_contract.test_answers,
        test_contract.test_uses_tools_in_parallel,
        test_contract.test_survives_nonsense_calls,
        test_contract.test_is_bounded,
        test_contract.test_steps_are_limited,
        test_contract.test_cancels_at_once,
        test_contract.test_remembers_threads,
    ],
)
async def test_plain_langchain_code_keeps_the_contract(promise: Callable[[str], Awaitable[None]]) -> None:
    """A graph in ordinary LangChain code does all that the listed graphs do."""
    await promise("plain_langchain")


async def test_plain_langchain_code_remembers() -> None:
    """Its threads are complete conversations."""
    graph, thread_id = make_graph("plain_langchain", checkpointing=memory()), uuid4()
    turned = turn(calls(("calculator", {"expression": "6 * 7"})), says("42"), thread_id=thread_id)
    result = await graph.invoke(turned.context)
    assert shape(result.messages) == ["assistant(c0)", "tool(c0)", "assistant"]
    assert turned.model.asked[0].tool_names == ["calculator", "clock", "search_documents"]
    second = turn(says("As I said."), thread_id=thread_id)
    assert [message.content for message in (await graph.invoke(second.context)).messages] == ["As I said."]
    assert len(second.model.asked[0].call.messages) == 6


def test_the_guide_prints_these_files() -> None:
    """Every Python block of docs/graphs.md that names a file here is part of that file, line for line."""
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert {name for name, _ in blocks} == {"days_until.py", "draft_review.py", "plain_langchain.py"}
    for name, block in blocks:
        assert block.strip() in (HERE / name).read_text(encoding="utf-8"), name
