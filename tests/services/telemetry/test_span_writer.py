"""Traces on their way into the store: together, bounded, and never in anybody's way."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import uuid4

import orjson
import pytest

from services.errors import StoreUnavailable
from services.telemetry.metrics import TRACES_DROPPED, Metric
from services.telemetry.recorded import RecordedTrace
from services.telemetry.span_writer import SpanWriter, StoredTrace, stored
from services.telemetry.texts import MAX_ATTRIBUTE_CHARS
from tests.services.runs.turns import until
from tests.services.telemetry.traced import a_tracer


class Store:
    def __init__(self) -> None:
        self.added: list[Sequence[StoredTrace]] = []
        self.away = False
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.asked = 0

    async def add(self, traces: Sequence[StoredTrace]) -> None:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        if self.away:
            raise StoreUnavailable("away")
        self.added.append(traces)

    async def of_run(self, run_id: object) -> Sequence[StoredTrace]:
        return ()


class Counting:
    def __init__(self) -> None:
        self.dropped = 0.0

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert metric is TRACES_DROPPED
        self.dropped += value


def a_trace(**attributes: str) -> RecordedTrace:
    trace = a_tracer("agent").come_in(None)
    assert isinstance(trace, RecordedTrace)
    trace.of(uuid4())
    with trace.begin("work", attributes) as span:
        span.event("happened", attributes)
    return trace


async def test_what_comes_together_is_stored_together() -> None:
    """By one statement, after a while."""
    store, naps = Store(), list[float]()

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    writer = SpanWriter(store, every_s=1.0, sleep=nap)
    for _ in range(3):
        writer.add(a_trace())
    writing = asyncio.create_task(writer.write_forever())
    await until(lambda: bool(store.added))
    writing.cancel()
    assert ([len(traces) for traces in store.added], naps) == ([3], [1.0])
    await writer.flush()
    assert len(store.added) == 1


async def test_too_many_and_those_of_an_outage_are_counted() -> None:
    """And the next ones are stored."""
    store, meter = Store(), Counting()
    writer = SpanWriter(store, meter, capacity=2)
    for _ in range(5):
        writer.add(a_trace())
    assert meter.dropped == 3.0
    store.away = True
    await writer.flush()
    assert meter.dropped == 5.0
    store.away = False
    writer.add(a_trace())
    await writer.flush()
    assert [len(traces) for traces in store.added] == [1]


async def test_an_error_of_any_kind_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and in the log, and what comes next is stored."""
    store, meter = Store(), Counting()
    store.error = KeyError("a bug")
    writer = SpanWriter(store, meter, sleep=lambda _: asyncio.sleep(0))
    writing = asyncio.create_task(writer.write_forever())
    writer.add(a_trace())
    await until(lambda: meter.dropped == 1.0)
    store.error = None
    writer.add(a_trace())
    await until(lambda: bool(store.added))
    writing.cancel()
    assert caplog.records[0].exc_info is not None


async def test_what_is_being_stored_when_the_writer_is_stopped_is_stored_in_the_end() -> None:
    store = Store()
    store.hold = asyncio.Event()
    writer = SpanWriter(store, sleep=lambda _: asyncio.sleep(0))
    writing = asyncio.create_task(writer.write_forever())
    writer.add(a_trace())
    await until(lambda: store.asked == 1)
    writing.cancel()
    await asyncio.wait([writing])
    store.hold.set()
    await writer.flush()
    assert [len(traces) for traces in store.added] == [1]


async def test_a_request_that_became_no_run_is_not_stored() -> None:
    store = Store()
    writer = SpanWriter(store)
    trace = a_tracer("ingress").come_in(None)
    assert isinstance(trace, RecordedTrace)
    writer.add(trace)
    await writer.flush()
    assert store.added == []


def test_whatever_is_in_a_span_can_be_stored() -> None:
    """A provider's words may be any, and any length."""
    [span] = orjson.loads(stored(a_trace(odd="\ud800\x00", long="x" * 10_000)).body)["spans"]
    assert span["attributes"] == {"odd": "?\x00", "long": "x" * MAX_ATTRIBUTE_CHARS}
    assert span["events"][0]["attributes"] == span["attributes"]
