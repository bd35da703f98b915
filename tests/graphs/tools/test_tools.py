"""What every listed tool must do, because it is listed, and what the three of ours do."""

from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from graphs.build import build, build_tools
from graphs.spec import GraphOptions
from graphs.tools import TOOLS
from graphs.tools.care import ToolCare
from graphs.tools.execution import ToolExecution
from graphs.tools.resources import ToolResources, utc_now
from services.errors import ConfigurationError
from services.storage.memory_effects import MemoryEffects
from tests.graphs.fakes import NOON, FewDocuments, FoundPassage, calls, resources, turn

NAMES = pytest.mark.parametrize("name", TOOLS)
NONSENSE = pytest.mark.parametrize(
    "arguments",
    [
        {"expression": "(" * 10_000, "time_zone": "x" * 10_000, "query": " "},
        {"expression": None, "time_zone": None, "query": None},
        {"expression": ["1"], "time_zone": {"a": 1}, "query": 7},
        {"expression": "\ud800\x00", "time_zone": "../../etc/passwd", "query": "", "limit": 10**9},
    ],
    ids=["long", "null", "types", "characters"],
)


async def used(name: str, available: ToolResources | None = None, **arguments: Any) -> tuple[str, str]:
    """What the model reads of a call, and its status."""
    turned = turn()
    care = ToolCare(ledger=MemoryEffects(lambda _: turned.context.run))
    execution = ToolExecution(build_tools([name], available or resources()), care)
    answer = calls((name, arguments)).model_copy(update={"id": "answer"})
    [message] = await execution.run([answer], turned.context)
    assert isinstance(message, ToolMessage)
    return str(message.content), message.status


@NAMES
def test_is_described(name: str) -> None:
    """The model is told under which name, for what, and with which arguments to call a tool."""
    [schema] = ToolExecution(build_tools([name], resources()), ToolCare(ledger=MemoryEffects(lambda _: None))).schemas
    function = schema["function"]
    assert schema["type"] == "function"
    assert function["name"] == name
    assert len(function["description"]) > 40
    assert function["parameters"]["type"] == "object"
    assert function["parameters"]["properties"]


@NAMES
@NONSENSE
async def test_survives_nonsense(name: str, arguments: dict[str, Any]) -> None:
    """Nonsense for arguments is answered with a short error text."""
    content, status = await used(name, **arguments)
    assert status == "error"
    assert 0 < len(content) < 1_000
    assert "internal error" not in content


@NAMES
async def test_survives_malformed_json(name: str) -> None:
    """Arguments that are no JSON never reach a tool."""
    answer = AIMessage(content="", tool_calls=[{"name": name, "args": {}, "id": "c"}])
    answer.additional_kwargs["malformed_arguments"] = {"c": "{'single': "}
    turned = turn()
    execution = ToolExecution(
        build_tools([name], resources()), ToolCare(ledger=MemoryEffects(lambda _: turned.context.run))
    )
    [message] = await execution.run([answer], turned.context)
    assert "one JSON object" in str(message.content)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "Sunday, 22 November 2026, 12:00:00 (UTC, UTC+00:00)"),
        ("Europe/Zurich", "Sunday, 22 November 2026, 13:00:00 (Europe/Zurich, UTC+01:00)"),
        ("tokyo", "Sunday, 22 November 2026, 21:00:00 (Asia/Tokyo, UTC+09:00)"),
        ("New York", "Sunday, 22 November 2026, 07:00:00 (America/New_York, UTC-05:00)"),
        ("asia/kolkata", "Sunday, 22 November 2026, 17:30:00 (Asia/Kolkata, UTC+05:30)"),
    ],
)
async def test_the_clock_tells_the_time_anywhere(zone: str, told: str) -> None:
    """A zone is found by its name or its city, in any case."""
    assert await used("clock", time_zone=zone) == (told, "success")


async def test_the_clock_knows_summer_time() -> None:
    """The offset is the one of the day."""
    summer = ToolResources(documents=FewDocuments(), now=lambda: datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    assert await used("clock", summer, time_zone="Europe/Zurich") == (
        "Thursday, 2 July 2026, 00:30:00 (Europe/Zurich, UTC+02:00)",
        "success",
    )


async def test_the_clock_suggests_zones() -> None:
    """A misspelt zone is answered with those that look like it."""
    content, _ = await used("clock", time_zone="Europe/Zürich")
    assert "Did you mean" in content
    assert "Europe/Zurich" in content


def test_without_a_clock_of_its_own_it_is_now() -> None:
    """The default time is the current one, with its zone."""
    assert utc_now().tzinfo is UTC
    assert abs((utc_now() - datetime.now(UTC)).total_seconds()) < 5


async def test_the_calculator_shows_its_work() -> None:
    """The result repeats the expression, so that a small model can tell results apart."""
    assert await used("calculator", expression=" 12.5 * 4 ") == ("12.5 * 4 = 50", "success")
    assert await used("calculator", expression="9**9**9") == (
        "Cannot calculate this: the exponent is too large: at most 10000.",
        "error",
    )


async def test_search_quotes_its_sources() -> None:
    """Passages come numbered, with their title and path."""
    found = [FoundPassage("Refunds", "refunds.md", "Refunds within 14 days."), FoundPassage("Other", "o.md", "refunds")]
    available = ToolResources(documents=FewDocuments(found), now=lambda: NOON)
    content, _ = await used("search_documents", available, query="refunds")
    assert content == "[1] Refunds (refunds.md)\nRefunds within 14 days.\n\n[2] Other (o.md)\nrefunds"
    content, _ = await used("search_documents", available, query="refunds", limit=-3)
    assert content.count("[") == 1


async def test_search_says_when_it_finds_nothing() -> None:
    """An empty result is said in words, so that the model does not make something up."""
    content, status = await used("search_documents", query="submarine")
    assert "No passage matches 'submarine'" in content
    assert status == "success"


def test_unknown_tools_are_refused() -> None:
    """A name that no registry entry has is an error that lists those there are."""
    with pytest.raises(ConfigurationError, match="calculator, clock, fetch, recall, remember, search_documents"):
        build_tools(["calculater"], resources())


def _sync(text: str) -> str:
    """Return the text."""
    return text


async def _async(text: str) -> str:
    """Return the text."""
    return text


class _SyncClass(BaseTool):
    name: str = "sync_class"
    description: str = "A class with `_run` only."

    def _run(self, text: str) -> str:
        return text


class _AsyncClass(_SyncClass):
    name: str = "async_class"

    async def _arun(self, text: str) -> str:
        return text


@pytest.mark.parametrize("tool", [StructuredTool.from_function(_sync), _SyncClass()], ids=["function", "class"])
def test_sync_tools_are_refused(tool: BaseTool) -> None:
    """A tool that would run in a thread, where it cannot be cancelled, is refused when the graph is built."""
    with pytest.raises(ConfigurationError, match="async def"):
        build("react", GraphOptions(), [tool])


@pytest.mark.parametrize(
    "tool", [StructuredTool.from_function(coroutine=_async), _AsyncClass()], ids=["function", "class"]
)
def test_async_tools_are_accepted(tool: BaseTool) -> None:
    """Every ordinary form of an async LangChain tool can be used."""
    build("react", GraphOptions(), [tool])


def test_two_tools_of_one_name_are_refused() -> None:
    """A model could not tell them apart."""
    with pytest.raises(ConfigurationError, match="Two tools are called 'clock'"):
        build("react", GraphOptions(), [*build_tools(["clock"], resources())] * 2)
