"""Runs of long ago, which have left something in every table that they can; and whose rows are whose."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from sqlalchemy import Table

from services.events import RunCompleted, RunEvent, RunStarted, TextDelta
from services.runs.event_codec import encode
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.tables import metadata
from services.types import Principal, Usage

DAY_S = 86_400.0
SHARED = frozenset({"leases", "documents", "rate_buckets", "slots"}) | {
    "drift_series",
    "drift_leader",
    "alerts",
    "alert_deliveries",
}
"""The tables in which nothing is any one user's."""

_SAID: tuple[RunEvent, ...] = (
    RunStarted(run_id=UUID(int=1), thread_id=UUID(int=2), graph="react"),
    TextDelta(text="Two "),
    TextDelta(text="years."),
    RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.2),
)
_TURNS = """
WITH thread AS (
    INSERT INTO threads (id, tenant_id, user_id, ephemeral, created_at, updated_at)
    SELECT gen_random_uuid(), $1, $2, $4, now() - $5 * interval '1 second', now() - $5 * interval '1 second'
    FROM generate_series(1, $3) RETURNING id, updated_at
), run AS (
    INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect, attempt, created_at,
                      finished_at)
    SELECT gen_random_uuid(), id, $1, $2, 'react', $8, $4, 'continue', 1, updated_at,
           CASE WHEN $8 IN ('queued', 'pending', 'running') THEN NULL ELSE updated_at END
    FROM thread RETURNING id, thread_id, created_at
), m AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content)
    SELECT id, n, $1, n = 0, CASE n WHEN 0 THEN 'user' ELSE 'assistant' END, 'text ' || n FROM run, generate_series(0, 1) n
), e AS (
    INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body)
    SELECT id, $1, 1, 2 * n, 2 * n + 1, CASE n WHEN 0 THEN $6::bytea ELSE $7::bytea END FROM run, generate_series(0, 1) n
), d AS (
    INSERT INTO run_spans (run_id, source, attempt, tenant_id, body, created_at)
    SELECT id, source, 1, $1, '{}'::bytea, created_at FROM run, unnest('{ingress,agent}'::text[]) AS source
), t AS (
    INSERT INTO tool_effects (run_id, call_id, tenant_id, tool, attempt) SELECT id, 'm1:0', $1, 'send_mail', 1 FROM run
), k AS (
    INSERT INTO idempotency_keys (tenant_id, user_id, key, digest, run_id, created_at)
    SELECT $1, $2, id::text, 'digest'::bytea, id, created_at FROM run
), w AS (
    INSERT INTO webhooks (run_id, tenant_id, url, delivered_at) SELECT id, $1, 'https://example.com/', created_at FROM run
), s AS (
    INSERT INTO scores (run_id, criterion, judge_model, rubric_version, tenant_id, value, reason, weight, graph,
                        prompt_version, stratum, base)
    SELECT id, 'helpfulness', 'judge', '1', $1, 0.5, 'so so', 1, 'react', '', 'ordinary', true FROM run
), f AS (
    INSERT INTO feedback (run_id, user_id, tenant_id, rating, comment) SELECT id, $2, $1, 'down', 'so so' FROM run
), u AS (
    INSERT INTO usage (run_id, tenant_id, user_id, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                       model_calls, estimated, created_at)
    SELECT id, $1, $2, 10, 3, 0, 0, 1, false, created_at FROM run
), c AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, tenant_id, channels, versions, type, body, metadata)
    SELECT id::text, '', 'c2', $1, '{messages}', '{2}', 'msgpack', 'body'::bytea, '{}' FROM thread
), b AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, tenant_id, type, body)
    SELECT id::text, '', 'messages', '2', $1, 'msgpack', 'body'::bytea FROM thread
), x AS (
    INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, tenant_id, task_path, channel,
                                   type, body)
    SELECT id::text, '', 'c2', 'task', -1, $1, '', '__interrupt__', 'msgpack', 'body'::bytea FROM thread
)
SELECT id, thread_id FROM run
"""
_PERSON = """
WITH who AS (INSERT INTO users (tenant_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING),
memory AS (
    INSERT INTO memories (tenant_id, user_id, namespace, key, id, value, text)
    VALUES ($1, $2, '{likes}', $3, $4, '{}', 'tea')
), spent AS (
    INSERT INTO budget_accounts (tenant_id, user_id, month, spent_tokens)
    VALUES ($1, $2, '2026-11-01', 7), ($1, '', '2026-11-01', 7) ON CONFLICT DO NOTHING
), held AS (
    INSERT INTO budget_reservations (id, run_id, attempt, tenant_id, user_id, month, micros, tokens, expected_micros,
                                     expected_tokens)
    VALUES (gen_random_uuid(), gen_random_uuid(), 1, $1, $2, '2026-11-01', 9, 9, 4, 4)
), done AS (
    INSERT INTO audit_events (id, tenant_id, action, user_id, target, target_user_id)
    VALUES (gen_random_uuid(), $1, 'key_created', 'operations', $3, $2), (gen_random_uuid(), $1, 'key_rotated', $2, $3, 'eve')
)
INSERT INTO api_keys (id, tenant_id, user_id, lookup, digest, scopes) VALUES ($4, $1, $2, $3, $5, '{}')
"""


async def turns(
    database: Database,
    principal: Principal,
    count: int = 1,
    *,
    age_s: float = 0.0,
    ephemeral: bool = False,
    status: str = "completed",
) -> dict[UUID, UUID]:
    """Store so many runs, each in a thread of its own, as old as that; return the thread of each."""
    async with database.raw() as connection:
        rows = await connection.fetch(
            _TURNS,
            principal.tenant_id,
            principal.user_id,
            count,
            ephemeral,
            age_s,
            encode(_SAID[:2]),
            encode(_SAID[2:]),
            status,
        )
    return {plain(row["id"]): plain(row["thread_id"]) for row in rows}


async def a_person(database: Database, principal: Principal) -> None:
    """Store a user with a key and a memory."""
    async with database.raw() as connection:
        key = uuid4()
        await connection.execute(_PERSON, principal.tenant_id, principal.user_id, str(key), key, b"d" * 32)


async def execute(database: Database, statement: str, *values: object) -> None:
    async with database.raw() as connection:
        await connection.execute(statement, *values)


async def rows_in(database: Database, *tables: str) -> dict[str, int]:
    """How many rows there are in each table, in all of them when none is named."""
    async with database.raw() as connection:
        return {
            name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables or list(metadata.tables)
        }


async def belongings(database: Database, principal: Principal, turns: Mapping[UUID, UUID]) -> dict[str, int]:
    """How many rows of each table belong to the user: by name, or through one of these runs or threads.

    Raises LookupError for a table of which that cannot be said: it is SHARED, or needs a column that leads to its user.
    """
    runs, threads = list(turns), [str(thread_id) for thread_id in turns.values()]
    async with database.raw() as connection:
        return {
            table.name: await connection.fetchval(
                f"SELECT count(*) FROM {table.name} WHERE {_owned(table)}",
                principal.tenant_id,
                principal.user_id,
                runs,
                threads,
            )
            for table in metadata.sorted_tables
            if table.name not in SHARED
        }


async def digest_of_others(database: Database, principal: Principal, turns: Mapping[UUID, UUID]) -> dict[str, str]:
    """A digest of each table's rows that are not the user's, but the bills and records that are nobody's."""
    runs, threads = list(turns), [str(thread_id) for thread_id in turns.values()]
    found = {}
    async with database.raw() as connection:
        for table in metadata.sorted_tables:
            mine = "false" if table.name in SHARED else _owned(table)
            nobody = "user_id = ''" if "user_id" in table.columns else "false"
            if "target_user_id" in table.columns:
                nobody += " OR target_user_id IS NULL"
            found[table.name] = await connection.fetchval(
                f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table.name} t"
                f" WHERE NOT ({mine}) AND NOT ({nobody})"
                " AND ($1::text, $2::text, $3::uuid[], $4::text[]) IS NOT NULL",
                principal.tenant_id,
                principal.user_id,
                runs,
                threads,
            )
    return found


def _owned(table: Table) -> str:
    ways = []
    if "user_id" in table.columns:
        ways.append("tenant_id = $1::text AND user_id = $2::text")
    if "target_user_id" in table.columns:
        ways.append("tenant_id = $1::text AND target_user_id = $2::text")
    if table.name == "users":
        ways.append("tenant_id = $1::text AND id = $2::text")
    if "run_id" in table.columns:
        ways.append("run_id = ANY ($3::uuid[])")
    if "thread_id" in table.columns:
        ways.append("thread_id::text = ANY ($4::text[])")
    if not ways:
        raise LookupError(f"{table.name} holds rows of nobody knows whom")
    return f"({' OR '.join(ways)}) AND ($1::text, $2::text, $3::uuid[], $4::text[]) IS NOT NULL"
