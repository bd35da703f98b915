"""Runs in Postgres. `create`, `start` and `finish` happen once per request, so each is one statement and one round trip.

They are SQL texts on asyncpg: the three together take 0.7 ms of a replica's CPU, and 5.0 ms in SQLAlchemy Core (990 against
138 runs/s, measured on two cores with Postgres beside it), whose every call walks its layers and adds BEGIN and COMMIT.
What not every request needs is Core, like `get`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.errors import AgentLost
from services.storage.database import Database
from services.storage.encoding import (
    failure_from,
    failure_to_json,
    input_columns,
    message_columns,
    message_from,
    options_from,
    plain,
    storable_message,
)
from services.storage.tables import messages, runs, usage
from services.storage.tenancy import busy, missing, owned
from services.types import OnDisconnect, Principal, Run, RunOutcome, RunStatus, Usage

# Messages travel as one array per column, which is cheaper to encode than JSON for asyncpg and to read for Postgres.
_CREATE = """
WITH thread AS ({thread}), run AS (
    INSERT INTO runs (tenant_id, user_id, thread_id, id, ephemeral, graph, status, options, on_disconnect, metadata)
    SELECT $1, $2, id, $4, $5, $6, 'pending', $7, $8, $9 FROM thread
    ON CONFLICT (thread_id) WHERE status IN ('pending', 'running') DO NOTHING
    RETURNING id
), input AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run.id, n - 1, $1, true, role, content, calls::jsonb, call_id, name
    FROM run, unnest($10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
        WITH ORDINALITY AS m (role, content, calls, call_id, name, n)
)
SELECT (SELECT count(*) FROM thread) AS threads, (SELECT count(*) FROM run) AS runs
"""
_CREATE_WITH_THREAD = _CREATE.format(
    thread="INSERT INTO threads (tenant_id, user_id, id, ephemeral) VALUES ($1, $2, $3, $5) RETURNING id"
)
_CREATE_IN_THREAD = _CREATE.format(
    thread="""
    UPDATE threads SET updated_at = now() WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND NOT ephemeral RETURNING id
"""
)
_START = """
WITH run AS (
    UPDATE runs SET status = 'running', started_at = now() WHERE id = $1 AND status = 'pending' RETURNING *
)
SELECT run.*, (
    SELECT json_agg(json_build_object('role', role, 'content', content, 'tool_calls', tool_calls,
                                      'tool_call_id', tool_call_id, 'name', name) ORDER BY position)
    FROM messages WHERE run_id = run.id AND input
) AS messages
FROM run
"""
# The first answer message is the claim on a run's answer: a conflict there is seen even when it was committed after this
# statement took its snapshot, which a NOT EXISTS would miss. The bill hangs on neither the status nor the run's row.
_FINISH = """
WITH run AS (
    UPDATE runs SET
        status = CASE WHEN finished_at IS NULL THEN $4 ELSE status END,
        finish_reason = CASE WHEN finished_at IS NULL THEN $5 ELSE finish_reason END,
        failure = CASE WHEN finished_at IS NULL THEN $6 ELSE failure END,
        finished_at = coalesce(finished_at, now())
    WHERE tenant_id = $1 AND id = $2
    RETURNING id, status
), spent AS (
    INSERT INTO usage AS stored (run_id, tenant_id, user_id, provider, model, input_tokens, output_tokens, cached_tokens,
                                 reasoning_tokens, model_calls, estimated)
    VALUES ($2, $1, $3, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (run_id) DO UPDATE SET
        provider = excluded.provider, model = excluded.model, input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens,
        reasoning_tokens = excluded.reasoning_tokens, model_calls = excluded.model_calls, estimated = excluded.estimated
    WHERE stored.tenant_id = excluded.tenant_id
      AND (excluded.input_tokens + excluded.output_tokens, excluded.model_calls)
        > (stored.input_tokens + stored.output_tokens, stored.model_calls)
), said AS (
    SELECT run.id AS run_id, $15 + n - 1 AS position, role, content, calls::jsonb AS calls, call_id, name, n
    FROM run, unnest($16::text[], $17::text[], $18::text[], $19::text[], $20::text[])
        WITH ORDINALITY AS m (role, content, calls, call_id, name, n)
), first AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run_id, position, $1, false, role, content, calls, call_id, name FROM said WHERE n = 1
    ON CONFLICT DO NOTHING RETURNING run_id
), others AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run_id, position, $1, false, role, content, calls, call_id, name FROM said JOIN first USING (run_id) WHERE n > 1
)
SELECT status FROM run
"""
_SWEEP = """
UPDATE runs SET status = 'failed', finished_at = now(), failure = $2
WHERE status IN ('pending', 'running') AND coalesce(started_at, created_at) < now() - make_interval(secs => $1)
"""


class RunRepository:
    """`services.runs.ports.RunStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, run: Run) -> None:
        """Store a pending run with its input and, with `run.new_thread`, its thread.

        Raises NotFound, ThreadBusy, StoreUnavailable, and InvalidRequest for text that Postgres cannot hold.
        """
        options, metadata, columns = input_columns(run)
        async with self._database.raw() as connection:
            row = await connection.fetchrow(
                _CREATE_WITH_THREAD if run.new_thread else _CREATE_IN_THREAD,
                run.tenant_id,
                run.user_id,
                run.thread_id,
                run.id,
                run.ephemeral,
                run.graph,
                options,
                run.on_disconnect,
                metadata,
                *columns,
            )
        if row is None or row["threads"] == 0:
            raise missing("thread", run.thread_id)
        if row["runs"] == 0:
            raise busy()

    async def start(self, run_id: UUID) -> Run:
        """Mark a pending run as running and return it. Raises NotFound and StoreUnavailable.

        Not scoped to a principal: the id comes from a ticket of our own, never from a client.
        """
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_START, run_id)
        if row is None:
            raise missing("run", run_id)
        return _run(row, row["messages"] or ())

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        """Write how a run ended, and return how it stands: see `services.runs.ports.RunStore.finish`.

        A record must not fail on what a model said, so what Postgres cannot hold becomes U+FFFD. Raises StoreUnavailable.
        """
        if outcome.status in {RunStatus.PENDING, RunStatus.RUNNING}:
            raise ValueError(f"{outcome.status} is not how a run ends")
        async with self._database.raw() as connection:
            status = await connection.fetchval(
                _FINISH,
                run.tenant_id,
                run.id,
                run.user_id,
                outcome.status,
                outcome.finish_reason,
                failure_to_json(outcome.failure),
                outcome.provider,
                outcome.model,
                *astuple(outcome.usage),
                len(run.messages),
                *message_columns([storable_message(message) for message in outcome.messages]),
            )
        return outcome.status if status is None else RunStatus(status)

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """Return a run of the principal's. Raises NotFound and StoreUnavailable."""
        found = (
            select(runs, *(usage.c[name] for name in Usage.__slots__))
            .outerjoin(usage, usage.c.run_id == runs.c.id)
            .where(runs.c.id == run_id, owned(runs, principal))
        )
        inputs = select(messages).where(messages.c.run_id == run_id, messages.c.input).order_by(messages.c.position)
        async with self._database.transaction() as connection:
            row = (await connection.execute(found)).mappings().one_or_none()
            if row is None:
                raise missing("run", run_id)
            rows = (await connection.execute(inputs)).mappings().all()
        spent = Usage(**{name: row[name] for name in Usage.__slots__ if row[name] is not None})
        return replace(_run(row, rows), usage=spent)

    async def sweep(self, *, older_than_s: float) -> int:
        """Fail runs that began longer ago than `older_than_s` and still live, so that their threads are free; return how many.

        For runs whose replica died before it could record their end: `older_than_s` must exceed the longest run. A run
        begins when an agent takes it, until when it counts from its creation: its time in an agent is what was left when
        its ticket was sent, so one that waited for a replica may rightly live longer than its creation tells.

        The shorter limit that a client may have asked for is not stored: the ingress ends its run in time, and the agent
        too. Only where nobody reads the run and its agent is lost does it keep its thread until the general limit.
        """
        lost = failure_to_json(AgentLost("The replica that ran this run was lost.").to_failure())
        async with self._database.raw() as connection:
            command_tag = await connection.execute(_SWEEP, older_than_s, lost)
        return int(command_tag.rpartition(" ")[2])


def _run(row: Mapping[Any, Any], inputs: Sequence[Mapping[Any, Any]]) -> Run:
    return Run(
        id=plain(row["id"]),
        thread_id=plain(row["thread_id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        graph=row["graph"],
        status=RunStatus(row["status"]),
        messages=tuple(message_from(message) for message in inputs),
        ephemeral=row["ephemeral"],
        options=options_from(row["options"]),
        on_disconnect=OnDisconnect(row["on_disconnect"]),
        metadata=row["metadata"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        finish_reason=row["finish_reason"],
        failure=failure_from(row["failure"]),
    )
