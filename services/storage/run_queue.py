"""The order in which queued runs are taken.

One that a client waits for goes before one in the background; then the run whose tenant has the fewest at work, those counted
that go before it by this very order; then the lowest priority; then the oldest. So a tenant's priorities are about its own
runs, and nobody gets ahead of others by them. Within a thread the oldest is always first, whatever its priority.
"""

_AT_WORK = "at_work AS (SELECT tenant_id, count(*) AS runs FROM runs WHERE status = 'running' GROUP BY tenant_id)"
_TURNS = """
    SELECT id, thread_id, background, created_at,
           row_number() OVER (ORDER BY background, load, priority, created_at, id) AS turn
    FROM (
        SELECT queued.*, coalesce(at_work.runs, 0) + row_number() OVER (
            PARTITION BY tenant_id ORDER BY background, priority, created_at, id
        ) AS load
        FROM {queued} AS queued LEFT JOIN at_work USING (tenant_id)
    ) AS queued
"""
# Of a queue that has grown long only its heads are looked at: of each tenant's background runs so many as could be taken, and
# some more, for other replicas may have the first ones in hand.
_READY = """NOT EXISTS (
        SELECT FROM runs AS live WHERE live.thread_id = queued.thread_id AND live.status IN ('pending', 'running')
    ) AND NOT EXISTS (
        SELECT FROM runs AS before WHERE before.thread_id = queued.thread_id AND before.status = 'queued'
        AND (before.created_at, before.id) < (queued.created_at, queued.id)
    )"""
_HEADS = f"""tenants AS (
    WITH RECURSIVE tenant AS (
        (SELECT tenant_id FROM runs WHERE status = 'queued' AND background AND $3 ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT tenant_id FROM runs WHERE status = 'queued' AND background AND runs.tenant_id > tenant.tenant_id
            ORDER BY tenant_id LIMIT 1
        ) FROM tenant WHERE tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM tenant WHERE tenant_id IS NOT NULL
), heads AS (
    SELECT id, tenant_id, thread_id, background, priority, created_at FROM runs AS queued
    WHERE status = 'queued' AND NOT background AND {_READY}
    UNION ALL
    SELECT head.* FROM tenants, LATERAL (
        SELECT id, tenant_id, thread_id, background, priority, created_at FROM runs AS queued
        WHERE status = 'queued' AND background AND queued.tenant_id = tenants.tenant_id AND {_READY}
        ORDER BY priority, created_at, id LIMIT $2 + 32
    ) AS head
)"""  # noqa: S608  # of our own texts only
# The turns are counted without locks, so each run is looked at again when its turn comes: somebody may have it by then. A
# background run's time begins now, so its deadline moves by as long as it has waited. Who holds no lease takes nothing.
# The clock and not now(), which is from before this statement saw the run before it end: on record no two turns overlap.
TAKEN = f"""{_AT_WORK}, {_HEADS}, turns AS ({_TURNS.format(queued="heads")}), ready AS (
    SELECT runs.id, clock_timestamp() AS at
    FROM (SELECT id, turn FROM turns ORDER BY turn LIMIT $2 + 32) AS turns JOIN runs ON runs.id = turns.id
    WHERE runs.status = 'queued' AND EXISTS (SELECT FROM leases WHERE id = $1 AND expires_at >= now())
    ORDER BY turn LIMIT $2 FOR NO KEY UPDATE OF runs SKIP LOCKED
), claimed AS (
    UPDATE runs SET status = 'running', started_at = at, owner = $1, attempt = attempt + 1,
        deadline_at = CASE WHEN background THEN deadline_at + (at - created_at) ELSE deadline_at END
    FROM ready WHERE runs.id = ready.id RETURNING runs.*
)"""  # noqa: S608  # of our own texts only
"""For `rows.CLAIMED`, with the lease, how many, and whether to take background runs."""

_QUEUED = "(SELECT id, tenant_id, thread_id, background, priority, created_at FROM runs WHERE status = 'queued')"
POSITION = f"""
WITH {_AT_WORK}, turns AS ({_TURNS.format(queued=_QUEUED)})
SELECT (
    SELECT count(*) FROM turns AS other WHERE CASE WHEN other.thread_id = mine.thread_id
        THEN (other.created_at, other.id) < (mine.created_at, mine.id)
        ELSE other.background AND other.turn < mine.turn
    END
) FROM turns AS mine WHERE id = $1
"""  # noqa: S608  # of our own texts only
"""Returns how many queued runs go before one, no row where it is not queued. Reads the whole queue."""
