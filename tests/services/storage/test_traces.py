"""Traces in their stores: what is stored of a run is found, and nothing of a run that is not there."""

from dataclasses import replace

import pytest
from uuid_utils.compat import uuid7

from services.storage.database import Database
from services.storage.traces import TraceRepository
from services.telemetry.span_writer import StoredTrace
from services.telemetry.trace_context import attempt_span_id
from services.types import Run
from tests.services.storage.conftest import Stores, a_run, in_postgres

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


@pytest.mark.postgres
async def test_whoever_judges_a_run_is_told_of_its_last_attempt(database: Database) -> None:
    stores, traces = in_postgres(database), TraceRepository(database)
    claim = await stores.claimed(replace(a_run(), traceparent=TRACEPARENT))
    span_id = attempt_span_id(claim.run.id, 1)
    assert await traces.traceparent(claim.run.id) == f"{TRACEPARENT[:36]}{span_id}-01"
    plain = await stores.answered(a_run())
    assert await traces.traceparent(plain.id) is None
    assert await traces.traceparent(uuid7()) is None
