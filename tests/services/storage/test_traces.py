"""Traces in their stores: what is stored of a run is found, and nothing of a run that is not there."""

from dataclasses import replace

from uuid_utils.compat import uuid7

from services.telemetry.span_writer import StoredTrace
from services.types import Run
from tests.services.storage.conftest import Stores, a_run

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def part(run: Run, source: str = "agent", attempt: int = 1, body: bytes = b"{}") -> StoredTrace:
    return StoredTrace(run_id=run.id, source=source, attempt=attempt, body=body)


async def test_the_parts_of_a_run(stores: Stores) -> None:
    """Of each process and attempt one; what is said a second time does not count, nor does a run that is not there."""
    run, other = await stores.answered(a_run()), await stores.answered(a_run())
    parts = [part(run, "ingress", 0), part(run), part(run, attempt=2)]
    await stores.traces.add([*parts, part(other), part(a_run())])
    await stores.traces.add([part(run, body=b"again")])
    found = await stores.traces.of_run(run.id)
    assert sorted(found, key=lambda part: part.attempt) == parts
    assert await stores.traces.of_run(uuid7()) == []


async def test_a_run_keeps_where_its_trace_begins(stores: Stores) -> None:
    """Whoever takes it, and takes it over, goes on there, and knows which request asked for it."""
    claim = await stores.claimed(replace(a_run(), traceparent=TRACEPARENT, request_id="r"))
    assert (claim.run.traceparent, claim.run.request_id) == (TRACEPARENT, "r")
    [again] = await stores.taken_over()
    assert (again.run.traceparent, again.run.request_id, again.run.attempt) == (TRACEPARENT, "r", 2)
