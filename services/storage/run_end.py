"""How the end of a run is written: once, in one statement, whoever brings it.

The agent that ran the run brings its last events along, and its fence; the ingress, which ends runs that no agent does, has
neither. What the agent has left to store of the run's last checkpoint is stored with its end, in the same statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import asyncpg

from services.errors import RunSuperseded
from services.runs.checkpoints import KeptCheckpoint
from services.runs.log_writer import LogRow
from services.storage import run_checkpoint_sql
from services.storage.database import Database
from services.storage.encoding import failure_to_json, message_columns, plain, storable_message, to_json
from services.storage.run_checkpoints import one_checkpoint
from services.storage.run_rollback import erase
from services.types import Run, RunOutcome, RunStatus

# `ended` is the run where this is its first end. Where it is not, `late` is how it stands: locked, and so read as of now,
# not as of before whatever ended it meanwhile. A run that is neither was taken over, or erased.
# The first answer message is the claim on a run's answer: a conflict there is seen even when it was committed after this
# statement took its snapshot, which a NOT EXISTS would miss. The bill hangs on neither the status nor the run's row, unless
# the run was taken over: then it is its new owner's.
# The next run of the thread is announced to whoever takes queued ones. A turn that was queued while this run was ending is not
# seen here, unless it was what stopped this run; it is found when the agents look by themselves.
_END = """
WITH ended AS (
    UPDATE runs SET status = $4, finish_reason = $5, failure = $6, interrupts = $22, finished_at = now(), progress = NULL,
                    prompt_version = $27
    WHERE tenant_id = $1 AND id = $2 AND ($21::int IS NULL OR attempt = $21)
      AND finished_at IS NULL AND cancel_action IS DISTINCT FROM 'rollback'
    RETURNING id, thread_id, tenant_id, status, cancel_action IS NOT NULL AS stopped
), late AS MATERIALIZED (
    SELECT id, status, finished_at IS NULL AS to_roll_back, cancel_action IS NOT DISTINCT FROM 'rollback' AS unsaid
    FROM runs WHERE tenant_id = $1 AND id = $2 AND ($21::int IS NULL OR attempt = $21)
    AND NOT EXISTS (SELECT FROM ended) FOR SHARE
), superseded AS (
    SELECT FROM runs WHERE tenant_id = $1 AND id = $2
    AND NOT EXISTS (SELECT FROM ended) AND NOT EXISTS (SELECT FROM late)
), spent AS (
    INSERT INTO usage AS stored (run_id, tenant_id, user_id, provider, model, input_tokens, output_tokens, cached_tokens,
                                 reasoning_tokens, model_calls, estimated, cost_micros)
    SELECT $2, $1, $3, $7, $8, $9, $10, $11, $12, $13, $14, $26 WHERE NOT EXISTS (SELECT FROM superseded)
    ON CONFLICT (run_id) DO UPDATE SET
        provider = excluded.provider, model = excluded.model, input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens,
        reasoning_tokens = excluded.reasoning_tokens, model_calls = excluded.model_calls, estimated = excluded.estimated,
        cost_micros = excluded.cost_micros
    WHERE stored.tenant_id = excluded.tenant_id
      AND (excluded.input_tokens + excluded.output_tokens, excluded.model_calls)
        > (stored.input_tokens + stored.output_tokens, stored.model_calls)
), said AS (
    SELECT run.id AS run_id, $15 + n - 1 AS position, role, content, calls::jsonb AS calls, call_id, name, n
    FROM (SELECT id FROM ended UNION ALL SELECT id FROM late WHERE NOT (to_roll_back OR unsaid)) AS run,
        unnest($16::text[], $17::text[], $18::text[], $19::text[], $20::text[])
            WITH ORDINALITY AS m (role, content, calls, call_id, name, n)
), first AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run_id, position, $1, false, role, content, calls, call_id, name FROM said WHERE n = 1
    ON CONFLICT DO NOTHING RETURNING run_id
), others AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run_id, position, $1, false, role, content, calls, call_id, name FROM said JOIN first USING (run_id) WHERE n > 1
), logged AS (
    INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body)
    SELECT id, $1, $21, first_seq, seq, body
    FROM ended, unnest($23::int[], $24::int[], $25::bytea[]) AS e (first_seq, seq, body)
    ON CONFLICT DO NOTHING
), told AS (
    UPDATE webhooks SET next_at = now() FROM ended WHERE webhooks.run_id = ended.id
){keeping}
SELECT coalesce(ended.status, late.status) AS status, late.to_roll_back, EXISTS (SELECT FROM superseded) AS superseded,
       CASE WHEN stopped OR EXISTS (SELECT FROM runs WHERE runs.thread_id = ended.thread_id AND runs.status = 'queued')
            THEN pg_notify('mainstay_agents', 'queued') END AS news
FROM (SELECT) AS one LEFT JOIN ended ON true LEFT JOIN late ON true
"""
_KEEPING = """, held AS MATERIALIZED (
    SELECT thread_id::text COLLATE "C" AS thread_id, tenant_id FROM ended
), """
_END_ONLY = _END.format(keeping="")
_END_AND_KEEP = _END.format(keeping=_KEEPING + run_checkpoint_sql.one("$2", 28))
_TOKENS_OF = attrgetter(
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "model_calls", "estimated"
)
# However a run ends that somebody was promised a rollback of, it is cancelled.
_ROLL_BACK = """
WITH ended AS (
    UPDATE runs SET status = 'cancelled', finished_at = now()
    WHERE tenant_id = $1 AND id = $2 AND ($3::int IS NULL OR attempt = $3)
      AND finished_at IS NULL AND cancel_action = 'rollback'
    RETURNING id
), told AS (
    UPDATE webhooks SET next_at = now() FROM ended WHERE webhooks.run_id = ended.id
)
SELECT id, pg_notify('mainstay_agents', 'queued') AS news FROM ended
"""


async def end_run(
    database: Database,
    run: Run,
    outcome: RunOutcome,
    *,
    attempt: int | None = None,
    rows: Sequence[LogRow] = (),
    last: KeptCheckpoint | None = None,
) -> RunStatus:
    """Write how a run ended, and return its status as it now stands: see `services.runs.ports` for what that means.

    A record must not fail on what a model said, so what Postgres cannot hold becomes U+FFFD. Raises StoreUnavailable, and
    RunSuperseded when `attempt` is given and is not the run's any more. The `last` checkpoint is stored if this is its end.
    """
    refuse_unended(outcome)
    statement, end = _END_ONLY, _parameters(run, outcome, attempt, rows)
    if last is not None:
        statement, end = _END_AND_KEEP, (*end, *one_checkpoint(last))
    async with database.raw() as connection:
        row = await _end(connection, statement, end)
        while row["to_roll_back"]:
            await _roll_back(connection, run, attempt)
            row = await _end(connection, statement, end)
    if row["superseded"]:
        raise superseded(run, attempt)
    return outcome.status if row["status"] is None else RunStatus(row["status"])


def refuse_unended(outcome: RunOutcome) -> None:
    """Raise ValueError for an outcome that is none."""
    if not outcome.status.ended:
        raise ValueError(f"{outcome.status} is not how a run ends")


def superseded(run: Run, attempt: int | None) -> RunSuperseded:
    """Return the error for an attempt that is not the run's any more."""
    return RunSuperseded(f"Attempt {attempt} of run {run.id} was taken over.")


def _parameters(run: Run, outcome: RunOutcome, attempt: int | None, rows: Sequence[LogRow]) -> tuple[object, ...]:
    return (
        run.tenant_id,
        run.id,
        run.user_id,
        outcome.status,
        outcome.finish_reason,
        failure_to_json(outcome.failure),
        outcome.provider,
        outcome.model,
        *_TOKENS_OF(outcome.usage),
        len(run.messages),
        *message_columns([storable_message(message) for message in outcome.messages]),
        attempt,
        to_json([asdict(question) for question in outcome.interrupts]) if outcome.interrupts else None,
        [row.first_seq for row in rows],
        [row.seq for row in rows],
        [row.body for row in rows],
        outcome.usage.cost_micros,
        outcome.prompt_version,
    )


async def _end(
    connection: "asyncpg.Connection[Any]", statement: str, parameters: Sequence[object]
) -> Mapping[str, Any]:
    [row] = await connection.fetch(statement, *parameters)
    found: Mapping[str, Any] = row
    return found


async def _roll_back(connection: "asyncpg.Connection[Any]", run: Run, attempt: int | None) -> None:
    """End a run as if it had never been, unless somebody else has ended it or taken it over meanwhile."""
    async with connection.transaction():
        ended = await connection.fetch(_ROLL_BACK, run.tenant_id, run.id, attempt)
        if ended:
            await erase(connection, [plain(row["id"]) for row in ended])
