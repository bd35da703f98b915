"""The two statements that store a run's checkpoints: the usual one, for one checkpoint of the whole graph, and the other.

The parts of the usual one are also part of another statement: that which ends a run (`run_end`).

The update decides: it waits for a take-over that is being committed, and then finds another attempt. What the run has said
goes into its log with them, for its progress must not be ahead of that. `base` is where each
namespace of the thread stood before this run, for the run may yet be undone. A namespace keeps that and the newest; one whose
checkpoints are read through their ancestors (`chained`) keeps all. A graph within a node's task has ":" in its namespace: its
checkpoints count for as long as the step of the outer graph that they belong to is kept.

All parts of a statement see the rows from before it, so what is inserted is safe from the deletes. They are one statement
with many parts because the usual one is executed at each step of each run: its cost is mostly that of its parts.
"""

_HELD = """
WITH held AS MATERIALIZED (
    UPDATE runs SET progress = $3, crashes = 0 WHERE id = $1 AND attempt = $2 AND finished_at IS NULL
    RETURNING id AS run_id, attempt, thread_id::text COLLATE "C" AS thread_id, tenant_id
), logged AS (
    INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body)
    SELECT run_id, tenant_id, attempt, first_seq, seq, body
    FROM held, unnest($4::int[], $5::int[], $6::bytea[]) AS e (first_seq, seq, body)
    ON CONFLICT DO NOTHING
)"""
_OLD = """old AS MATERIALIZED (
    SELECT checkpoint_ns AS ns, checkpoint_id AS id, channels, versions, metadata -> 'parents' ->> '' AS step_of,
           metadata ? 'counters_since_delta_snapshot' AS chained,
           metadata ->> 'run_id' IS DISTINCT FROM {run}::text AND row_number() OVER (
               PARTITION BY checkpoint_ns, metadata ->> 'run_id' IS DISTINCT FROM {run}::text
               ORDER BY (metadata ->> 'step')::int DESC NULLS LAST, checkpoint_id DESC
           ) = 1 AS base
    FROM checkpoints WHERE thread_id = (SELECT thread_id FROM held)
)"""
_DELETES = """gone_checkpoints AS (
    DELETE FROM checkpoints c USING held, gone
    WHERE c.thread_id = held.thread_id AND c.checkpoint_ns = gone.ns AND c.checkpoint_id = gone.id
), gone_writes AS (
    DELETE FROM checkpoint_writes w USING held, gone
    WHERE w.thread_id = held.thread_id AND w.checkpoint_ns = gone.ns AND w.checkpoint_id = gone.id
), gone_values AS (
    DELETE FROM checkpoint_blobs b USING held, (
        SELECT ns, channel, version FROM gone, unnest(channels, versions) AS v (channel, version)
        EXCEPT
        SELECT ns, channel, version FROM old, unnest(channels, versions) AS v (channel, version)
        WHERE (ns, id) NOT IN (SELECT ns, id FROM gone)
        EXCEPT {needed}
    ) AS unused
    WHERE b.thread_id = held.thread_id
      AND b.checkpoint_ns = unused.ns AND b.channel = unused.channel AND b.version = unused.version
)"""
_ONE = """{old}, gone AS MATERIALIZED (
    SELECT ns, id, channels, versions FROM old
    WHERE ns = '' AND NOT base AND id <> {id} AND NOT EXISTS (SELECT FROM old WHERE base AND ns = '' AND chained)
       OR ns LIKE '%:%' AND step_of <> {id} AND step_of NOT IN (SELECT id FROM old WHERE base AND ns = '')
), {deletes}, kept AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, tenant_id, checkpoint_id, parent_id, channels, versions, type, body,
                             metadata)
    SELECT thread_id, '', tenant_id, {id}, {parent}, {channels}, {versions}, {type}, {body}, {metadata} FROM held
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO NOTHING
), value AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, tenant_id, channel, version, type, body)
    SELECT thread_id, '', tenant_id, channel, version, type, body
    FROM held, unnest({values}::text[], {values_versions}::text[], {values_types}::text[], {values_bodies}::bytea[])
        AS b (channel, version, type, body)
    ON CONFLICT DO NOTHING
)"""
_ONE_COLUMNS = (
    *("id", "parent", "channels", "versions", "type", "body", "metadata"),
    *("values", "values_versions", "values_types", "values_bodies"),
)


def one(run: str, first: int) -> str:
    """Return the parts that store one checkpoint of the whole graph, if there is a row `held (thread_id, tenant_id)`.

    `run` is the parameter that holds the run's id; those of the checkpoint are eleven, from the `first` on.
    """
    columns = {name: f"${number}" for number, name in enumerate(_ONE_COLUMNS, first)}
    needed = "SELECT '', channel, version FROM unnest({channels}::text[], {versions}::text[]) AS v (channel, version)"
    deletes = _DELETES.format(needed=needed.format(**columns))
    return _ONE.format(old=_OLD.format(run=run), deletes=deletes, **columns)


_SAVED = """
SELECT EXISTS (SELECT FROM held)
"""
SAVE_ONE = _HELD + ", " + one("$1", 7) + _SAVED

_ALL = """{held}, {old}, new AS MATERIALIZED (
    SELECT * FROM unnest($7::text[], $8::text[], $9::text[], $10::jsonb[], $11::text[], $12::bytea[], $13::jsonb[], $14::bool[])
        AS n (ns, id, parent_id, versions, type, body, metadata, chained)
), gone AS MATERIALIZED (
    SELECT ns, id, channels, versions FROM old
    WHERE NOT base AND ns IN (
        SELECT ns FROM new GROUP BY ns HAVING NOT bool_or(chained) EXCEPT SELECT ns FROM old WHERE base AND chained
    ) AND (ns, id) NOT IN (SELECT ns, id FROM new)
    OR ns LIKE '%:%' AND EXISTS (SELECT FROM new WHERE ns = '')
    AND step_of NOT IN (SELECT id FROM new WHERE ns = '' UNION ALL SELECT id FROM old WHERE base AND ns = '')
), {deletes}, kept AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, tenant_id, checkpoint_id, parent_id, channels, versions, type, body,
                             metadata)
    SELECT thread_id, ns, tenant_id, id, parent_id, ARRAY (SELECT key FROM jsonb_each_text(versions) ORDER BY key),
           ARRAY (SELECT value FROM jsonb_each_text(versions) ORDER BY key), type, body, metadata
    FROM held, new
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO NOTHING
), value AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, tenant_id, channel, version, type, body)
    SELECT thread_id, ns, tenant_id, channel, version, type, body
    FROM held, unnest($15::text[], $16::text[], $17::text[], $18::text[], $19::bytea[]) AS b (ns, channel, version, type, body)
    ON CONFLICT DO NOTHING
), write AS (
    INSERT INTO checkpoint_writes AS w (thread_id, checkpoint_ns, tenant_id, checkpoint_id, task_id, task_path, idx, channel,
                                        type, body)
    SELECT thread_id, ns, tenant_id, id, task_id, task_path, idx, channel, type, body
    FROM held, unnest($20::text[], $21::text[], $22::text[], $23::text[], $24::smallint[], $25::text[], $26::text[],
                      $27::bytea[]) AS n (ns, id, task_id, task_path, idx, channel, type, body)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
    SET channel = excluded.channel, type = excluded.type, body = excluded.body WHERE w.idx < 0
)"""
SAVE_ALL = (
    _ALL.format(
        held=_HELD,
        old=_OLD.format(run="$1"),
        deletes=_DELETES.format(
            needed="SELECT ns, channel, version FROM new, jsonb_each_text(versions) AS v (channel, version)"
        ),
    )
    + _SAVED
)
