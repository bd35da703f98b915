"""The statements of the checkpointer, each complete in itself; only values are ever filled in."""

_VALUES = """
    SELECT array_agg(b.channel) AS channels, array_agg(b.type) AS types, array_agg(b.body) AS bodies
    FROM unnest(c.channels, c.versions) AS v (channel, version)
    JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = v.channel AND b.version = v.version
"""
_WRITES = """
    SELECT array_agg(task_id ORDER BY task_path, task_id, idx) AS task_ids,
           array_agg(channel ORDER BY task_path, task_id, idx) AS channels,
           array_agg(type ORDER BY task_path, task_id, idx) AS types,
           array_agg(body ORDER BY task_path, task_id, idx) AS bodies
    FROM checkpoint_writes w
    WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.checkpoint_id
"""
_READ = """
SELECT c.thread_id, c.checkpoint_ns, c.tenant_id, c.checkpoint_id, c.parent_id, c.type, c.body, c.metadata,
       b.channels, b.types, b.bodies,
       w.task_ids, w.channels AS write_channels, w.types AS write_types, w.bodies AS write_bodies
FROM checkpoints c, LATERAL ({values}) b, LATERAL ({writes}) w
WHERE {condition}
ORDER BY c.checkpoint_id DESC
LIMIT {limit}
"""
_ONE = "c.thread_id = $1 AND c.checkpoint_ns = $2 AND c.tenant_id = $3"

LATEST = _READ.format(values=_VALUES, writes=_WRITES, condition=_ONE, limit="1")
# Within one line of checkpoints every step is one further, while ids hold the time of whichever node made them.
FURTHEST = _READ.format(
    values=_VALUES,
    writes=_WRITES,
    condition="""c.thread_id = $1 AND c.checkpoint_ns = $2 AND c.checkpoint_id = (
        SELECT checkpoint_id FROM checkpoints WHERE thread_id = $1 AND checkpoint_ns = $2 AND tenant_id = $3
        ORDER BY (metadata ->> 'step')::int DESC NULLS LAST, checkpoint_id DESC LIMIT 1
    )""",
    limit="1",
)
EXACT = _READ.format(values=_VALUES, writes=_WRITES, condition=_ONE + " AND c.checkpoint_id = $4", limit="1")
LIST = _READ.format(
    values=_VALUES,
    writes=_WRITES,
    condition="""($1::text IS NULL OR c.thread_id = $1) AND ($2::text IS NULL OR c.checkpoint_ns = $2)
    AND c.tenant_id = $3 AND ($4::text IS NULL OR c.checkpoint_id = $4)
    AND ($5::text IS NULL OR c.checkpoint_id < $5) AND c.metadata @> $6::jsonb""",
    limit="$7",
)

PUT = """
WITH blob AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, tenant_id, channel, version, type, body)
    SELECT $1, $2, $3, channel, version, type, body
    FROM unnest($11::text[], $12::text[], $13::text[], $14::bytea[]) AS b (channel, version, type, body)
    ON CONFLICT DO NOTHING
)
INSERT INTO checkpoints (thread_id, checkpoint_ns, tenant_id, checkpoint_id, parent_id, channels, versions, type, body,
                         metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
SET channels = excluded.channels, versions = excluded.versions, type = excluded.type, body = excluded.body,
    metadata = excluded.metadata
"""

_PUT_WRITES = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, tenant_id, checkpoint_id, task_id, task_path, idx, channel, type,
                               body)
SELECT $1, $2, $3, $4, $5, $6, idx, channel, type, body
FROM unnest($7::smallint[], $8::text[], $9::text[], $10::bytea[]) AS w (idx, channel, type, body)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO """
PUT_WRITES = _PUT_WRITES + "NOTHING"
REPLACE_WRITES = _PUT_WRITES + "UPDATE SET channel = excluded.channel, type = excluded.type, body = excluded.body"

DELETE_THREADS = """
WITH b AS (DELETE FROM checkpoint_blobs WHERE thread_id = ANY($1)),
     w AS (DELETE FROM checkpoint_writes WHERE thread_id = ANY($1))
DELETE FROM checkpoints WHERE thread_id = ANY($1)
"""

# No index serves this: it is for an administrator, not for a request.
DELETE_FOR_RUNS = """
WITH gone AS (
    DELETE FROM checkpoints WHERE metadata ->> 'run_id' = ANY($1) RETURNING thread_id, checkpoint_ns, checkpoint_id
), w AS (
    DELETE FROM checkpoint_writes USING gone
    WHERE checkpoint_writes.thread_id = gone.thread_id AND checkpoint_writes.checkpoint_ns = gone.checkpoint_ns
    AND checkpoint_writes.checkpoint_id = gone.checkpoint_id
)
SELECT DISTINCT thread_id FROM gone
"""

# A delta channel is rebuilt from its ancestors, so a thread that has one keeps them all.
KEEP_LATEST = """
WITH gone AS (
    DELETE FROM checkpoints c WHERE thread_id = ANY($1)
    AND checkpoint_id < (
        SELECT max(checkpoint_id) FROM checkpoints n WHERE n.thread_id = c.thread_id AND n.checkpoint_ns = c.checkpoint_ns
    )
    AND NOT EXISTS (
        SELECT FROM checkpoints d WHERE d.thread_id = c.thread_id AND d.metadata ? 'counters_since_delta_snapshot'
    )
    RETURNING thread_id, checkpoint_ns, checkpoint_id
)
DELETE FROM checkpoint_writes USING gone
WHERE checkpoint_writes.thread_id = gone.thread_id AND checkpoint_writes.checkpoint_ns = gone.checkpoint_ns
AND checkpoint_writes.checkpoint_id = gone.checkpoint_id
"""

DELETE_UNUSED_BLOBS = """
DELETE FROM checkpoint_blobs b WHERE thread_id = ANY($1)
AND NOT EXISTS (
    SELECT FROM checkpoints c, unnest(c.channels, c.versions) AS v (channel, version)
    WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND v.channel = b.channel AND v.version = b.version
)
"""

COPY_THREAD = """
WITH b AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, tenant_id, type, body)
    SELECT $2, checkpoint_ns, channel, version, tenant_id, type, body FROM checkpoint_blobs WHERE thread_id = $1
), w AS (
    INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, tenant_id, task_path, channel,
                                   type, body)
    SELECT $2, checkpoint_ns, checkpoint_id, task_id, idx, tenant_id, task_path, channel, type, body
    FROM checkpoint_writes WHERE thread_id = $1
)
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, tenant_id, parent_id, channels, versions, type, body,
                         metadata)
SELECT $2, checkpoint_ns, checkpoint_id, tenant_id, parent_id, channels, versions, type, body, metadata
FROM checkpoints WHERE thread_id = $1
"""
