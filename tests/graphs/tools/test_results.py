"""What a model reads of a result, and what a hostile one costs."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException
from pydantic import BaseModel, Field

from graphs.tools.care import ToolCare, ToolLimits
from graphs.tools.execution import ToolExecution
from tests.graphs.fakes import answer_of, calls, tool_of, turn


class Colour(Enum):
    RED = "red"


class Account(BaseModel):
    name: str
    key: str = Field(default="secret", repr=False)
    token: str = Field(default="secret", exclude=True)


@dataclass
class Place:
    city: str
    key: str = field(default="secret", repr=False)


class Opaque:
    def __repr__(self) -> str:
        raise AssertionError("must not be printed")


async def read_of(result: object, max_chars: int = 16_000) -> str:
    async def probe() -> object:
        return result

    message = await answer_of(probe, limits=ToolLimits(max_result_chars=max_chars))
    assert message.status == "success"
    return str(message.content)


@pytest.mark.parametrize(
    ("result", "read"),
    [
        ("text", "text"),
        ("", ""),
        (7, "7"),
        (2.5, "2.5"),
        (True, "true"),
        (None, "null"),
        ({"a": [1, "ü", None]}, '{"a": [1, "ü", null]}'),
        (["alpha", "beta"], '["alpha", "beta"]'),
        ((1, 2), "[1, 2]"),
        ({7}, "[7]"),
        ({1: "a", None: "b"}, '{"1": "a", "null": "b"}'),
        (Colour.RED, "red"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
        ({"price": Decimal("1.50"), "id": UUID(int=7)}, '{"price": "1.50", "id": "' + str(UUID(int=7)) + '"}'),
        (Account(name="ann"), '{"name": "ann"}'),
        (Place(city="Bern"), '{"city": "Bern"}'),
        ([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}], "one two"),
        ([{"type": "text", "text": "see "}, {"type": "image", "base64": "AAAA"}], "see [image: not shown]"),
        ([{"type": {"odd": 1}}], '[{"type": {"odd": 1}}]'),
        (ToolMessage("written", tool_call_id="x"), "written"),
        (ToolMessage(["a", {"type": "text", "text": "b"}], tool_call_id="x"), "ab"),
        (b"\x89PNG\xff\x00", "[binary data, 6 bytes: not shown]"),
        ({"file": bytearray(b"12")}, '{"file": "[binary data, 2 bytes: not shown]"}'),
        (memoryview(b"123"), "[binary data, 3 bytes: not shown]"),
        (Opaque(), "[Opaque: not shown]"),
        ({"it": Opaque()}, '{"it": "[Opaque: not shown]"}'),
        (Place, "[type: not shown]"),
        ({(1, 2): 3}, '{"[nested too deeply: not shown]": 3}'),
        (10**5_000, "[integer of 16610 bits: not shown]"),
        ("a\x00b\ud800c", "ab?c"),
        ({"\ud800": "\udfff\x00"}, '{"?": "?\\u0000"}'),
        (ToolMessage("a\x00b\ud800c", tool_call_id="x"), "ab?c"),
    ],
    ids=lambda given: None if isinstance(given, str) else type(given).__name__,
)
async def test_a_result_is_text_that_can_be_stored(result: object, read: str) -> None:
    """Text is itself, data is JSON, the rest is described; NUL and half surrogate pairs do not get into a thread."""
    assert await read_of(result) == read


@pytest.mark.parametrize(
    ("result", "read"),
    [
        ("x" * 120, "x" * 100 + "\n[cut off: 20 more characters]"),
        ("\ud800" * 120, "?" * 100 + "\n[cut off: 20 more characters]"),
        ({"a": "x" * 120}, '{"a": "' + "x" * 93 + "\n[cut off: there is more]"),
        (["x" * 30] * 10, None),
        ([[]] * 1_000, None),
        ([{"type": "text", "text": "x" * 60}] * 3, "x" * 99 + "…\n[cut off: there is more]"),
        ([{"type": "text", "text": ""}] * 1_000, "\n[900 more blocks: not shown]"),
    ],
)
async def test_a_long_result_is_cut(result: object, read: str | None) -> None:
    """The model reads at most max_result_chars of a result, and that there is more."""
    shown = await read_of(result, max_chars=100)
    assert len(shown) <= 100 + len("\n[cut off: 20 more characters]")
    assert "more" in shown
    assert read is None or shown == read


def endless(depth: int) -> Any:
    nested: Any = []
    for _ in range(depth):
        nested = [nested, nested]
    return nested


def cyclic() -> Any:
    itself: list[Any] = []
    itself.extend([itself, {"again": itself}])
    return itself


HUGE = 20_000_000
MANY = 2_000_000
HOSTILE: dict[str, Any] = {
    "text": lambda: "x" * HUGE,
    "surrogates": lambda: "\ud800" * HUGE,
    "NUL": lambda: "\x00" * HUGE,
    "bytes": lambda: b"\xff" * HUGE,
    "text in data": lambda: {"a": {"b": ["x" * HUGE]}},
    "long key": lambda: {"x" * HUGE: 1},
    "many items": lambda: [0] * MANY,
    "many empty items": lambda: [[]] * MANY,
    "many entries": lambda: dict.fromkeys(range(1_000_000)),
    "many blocks": lambda: [{"type": "text", "text": ""}] * MANY,
    "message": lambda: ToolMessage("x" * HUGE, tool_call_id="x"),
    "image": lambda: [{"type": "image", "base64": "x" * HUGE}],
    "odd block": lambda: [{"type": "text", "text": {"x" * HUGE: 1}}],
    "deep": lambda: endless(100_000),
    "cyclic": cyclic,
    "integer": lambda: 1 << HUGE,
    "range": lambda: range(10**15),
    "model": lambda: Account(name="x" * HUGE),
    "dataclass": lambda: Place(city="x" * HUGE),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_result_costs_what_its_limit_costs(kind: str) -> None:
    """However much a tool returns, what is made of it needs memory for the limit, not for the result."""
    result = HOSTILE[kind]()
    traced = 0

    async def probe() -> object:
        tracemalloc.start()
        return result

    execution = ToolExecution([tool_of(probe)], ToolCare())
    try:
        [message] = await execution.run([calls(("probe", {}))], turn().context)
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(message.content)) < 16_100
    assert 0 < traced < 3_000_000


@pytest.mark.parametrize("raised", [ToolException("x" * HUGE), ToolException("\ud800" * 100_000)])
async def test_a_hostile_explanation_is_cut(raised: ToolException) -> None:
    """What a tool says of a failure is bounded and storable like a result."""

    async def probe() -> str:
        raise raised

    message = await answer_of(probe)
    assert message.status == "error"
    assert len(str(message.content)) < 16_100
    str(message.content).encode()


async def test_lazy_results_are_not_run() -> None:
    """A generator that a tool returns by mistake is described; its code never runs."""

    def rows() -> Iterator[str]:
        raise AssertionError("must not run")
        yield ""

    assert await read_of(rows()) == "[generator: not shown]"


async def test_plain_data_stays_valid_json() -> None:
    """Data that fits is JSON as the tool meant it."""
    data = {"rows": [{"n": n, "name": f"row {n}", "tags": ["a", "b"]} for n in range(50)]}
    assert json.loads(await read_of(data)) == data
