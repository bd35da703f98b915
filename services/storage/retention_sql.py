"""The statements of pruning. Each looks at so many rows, in the order of a table's key, and says how far it has come.

So none takes long, none needs an index that every run would pay for, and a pass over a table is a walk of short statements.
Rows that somebody else has locked are passed over: several replicas may walk at once, and a request never waits for them.
"""

_WALK = """
WITH page AS MATERIALIZED (
    SELECT DISTINCT {key} AS key FROM {table} WHERE {key} > $1 ORDER BY 1 LIMIT $2
), gone AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT it.ctid FROM {table} it{joined}
        WHERE it.{key} = ANY (ARRAY(SELECT key FROM page)) AND {condition}
        FOR UPDATE OF it SKIP LOCKED
    ))
    RETURNING 1
)
SELECT (SELECT key FROM page ORDER BY key DESC LIMIT 1) AS until, (SELECT count(*) FROM gone) AS gone
"""
EVENTS = _WALK.format(
    table="run_events",
    key="run_id",
    joined=" JOIN runs ON runs.id = it.run_id",
    condition="runs.finished_at < now() - make_interval(secs => $3)",
)
USAGE = _WALK.format(
    table="usage", key="run_id", joined="", condition="it.created_at < now() - make_interval(secs => $3)"
)
TRACES = _WALK.format(
    table="run_spans",
    key="run_id",
    joined=" JOIN runs ON runs.id = it.run_id",
    condition="runs.finished_at IS NOT NULL AND it.created_at < now() - make_interval(secs => $3)",
)

# What was done to keys stays for good; what was only tried does not.
ATTEMPTS = _WALK.format(
    table="audit_events",
    key="id",
    joined="",
    condition="it.action IN ('access_refused', 'permission_denied') AND it.at < now() - make_interval(secs => $3)",
)
ALERTS = _WALK.format(
    table="alerts",
    key="id",
    joined="",
    condition="coalesce(it.resolved_at, it.ends_at) < now() - make_interval(secs => $3)",
)

# Ids of threads are LangGraph's text there, and a thread that is none of ours is left alone.
_OF_A_THREAD = """, LATERAL (
            SELECT CASE WHEN it.thread_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN it.thread_id::uuid END AS id
        ) AS ours LEFT JOIN threads ON threads.id = ours.id"""
_AT_REST = """ours.id IS NOT NULL
        AND NOT EXISTS (SELECT FROM runs WHERE runs.thread_id = ours.id AND finished_at IS NULL)"""
CHECKPOINTS = _WALK.format(
    table="checkpoints",
    key="thread_id",
    joined=_OF_A_THREAD,
    condition=f"{_AT_REST} AND (threads.id IS NULL OR threads.ephemeral)",
)
# What belongs to no checkpoint. While a run is at work, LangGraph may store writes before their checkpoint.
CHECKPOINT_WRITES = _WALK.format(
    table="checkpoint_writes",
    key="thread_id",
    joined=_OF_A_THREAD,
    condition=f"""{_AT_REST} AND NOT EXISTS (
            SELECT FROM checkpoints c WHERE c.thread_id = it.thread_id AND c.checkpoint_ns = it.checkpoint_ns
            AND c.checkpoint_id = it.checkpoint_id
        )""",
)
CHECKPOINT_BLOBS = _WALK.format(
    table="checkpoint_blobs",
    key="thread_id",
    joined=_OF_A_THREAD,
    condition=f"""{_AT_REST} AND NOT EXISTS (
            SELECT FROM checkpoints c, unnest(c.channels, c.versions) AS v (channel, version)
            WHERE c.thread_id = it.thread_id AND c.checkpoint_ns = it.checkpoint_ns
            AND v.channel = it.channel AND v.version = it.version
        )""",
)

THREADS_GONE = """writes AS (
    DELETE FROM checkpoint_writes USING {these} AS these WHERE thread_id = these.id::text
), blobs AS (
    DELETE FROM checkpoint_blobs USING {these} AS these WHERE thread_id = these.id::text
), states AS (
    DELETE FROM checkpoints USING {these} AS these WHERE thread_id = these.id::text
), gone AS (
    DELETE FROM threads USING {these} AS these WHERE threads.id = these.id RETURNING 1
)"""
"""Deletes threads with all that is theirs; checkpoints have no foreign key."""

# A turn that begins meanwhile has touched its thread, which the lock makes this statement see. An ephemeral thread gets no
# second turn; that its run can be asked for with the same key, and that its end is told, is worth the wait.
_THREADS = """
WITH page AS MATERIALIZED (
    SELECT id FROM threads WHERE id > $1 ORDER BY id LIMIT $2
), old AS MATERIALIZED (
    SELECT t.id FROM threads t, make_interval(secs => CASE WHEN ephemeral THEN $3::float8 ELSE $4::float8 END) AS ttl
    WHERE t.id = ANY (ARRAY(SELECT id FROM page)) AND t.updated_at < now() - ttl AND NOT EXISTS (
        SELECT FROM runs WHERE thread_id = t.id AND (
            finished_at IS NULL OR finished_at >= now() - ttl
            OR EXISTS (SELECT FROM idempotency_keys WHERE run_id = runs.id)
            OR EXISTS (SELECT FROM webhooks WHERE run_id = runs.id AND next_at IS NOT NULL)
        )
    )
    FOR UPDATE OF t SKIP LOCKED
), {gone}
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS until, (SELECT count(*) FROM gone) AS gone
"""
THREADS = _THREADS.format(gone=THREADS_GONE.format(these="old"))

_SOME = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE {condition} LIMIT $1 FOR UPDATE SKIP LOCKED
))
"""
IDEMPOTENCY_KEYS = _SOME.format(table="idempotency_keys", condition="created_at < now() - make_interval(secs => $2)")
LEASES = _SOME.format(
    table="leases",
    condition="""expires_at < now() - interval '1 minute'
    AND NOT EXISTS (SELECT FROM runs WHERE owner = leases.id AND status = 'running')""",
)

LOOSE_LOGS = """
WITH page AS MATERIALIZED (
    SELECT run_id, count(*) > count(DISTINCT attempt) AS loose FROM run_events WHERE run_id > $1
    GROUP BY run_id ORDER BY run_id LIMIT $2
)
SELECT run_id, loose AND finished_at < now() - make_interval(secs => $3) AS due
FROM page JOIN runs ON runs.id = run_id WHERE runs.id = ANY (ARRAY(SELECT run_id FROM page)) ORDER BY run_id
"""
HOLD_LOGS = "SELECT id FROM runs WHERE id = ANY ($1) AND finished_at IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED"
READ_LOGS = """
SELECT run_id, attempt, first_seq, seq, body FROM run_events WHERE run_id = ANY ($1) ORDER BY run_id, attempt, seq
"""
DELETE_LOGS = "DELETE FROM run_events WHERE run_id = ANY ($1)"
STORE_LOGS = """
INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body)
SELECT id, tenant_id, attempt, first_seq, seq, body
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::bytea[]) AS e (id, attempt, first_seq, seq, body)
JOIN (SELECT id, tenant_id FROM runs WHERE id = ANY ($1)) AS held USING (id)
"""
