"""Erasing a user: after it no row of any table is theirs, or leads to them.

What has tokens in it and no text, the bill, stays with its tenant: under no user and under another run id, so that sums are
what they were and nobody's; what they have spent stays in the sums of the tenant. So does the record of what was done to keys.
Everything else goes. A few hundred rows at a time, so that nobody waits long for a lock.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import asyncpg

from services.errors import InvalidRequest, ThreadBusy
from services.storage.budgets import BudgetRepository
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.retention_sql import THREADS_GONE
from services.storage.runs import RunRepository
from services.storage.tables import metadata
from services.types import CancelAction

NOBODY = ""
"""The user that the bill of erased ones is kept under: nobody can have that name."""
ERASED = "erased"
"""The reason of a run that was stopped because its user is erased."""
_ROUNDS = 3
_POLL_S = 0.5

# Said so that the partial indexes serve it. What waits for its thread is stopped before what it waits for.
_UNENDED = """
SELECT id FROM runs WHERE (status IN ('pending', 'running') OR status = 'queued') AND tenant_id = $1 AND user_id = $2
ORDER BY status <> 'queued', id
"""
_SOME = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE tenant_id = $1 AND {user} = $2 LIMIT $3 FOR UPDATE
))
"""
_BY_NAME: Mapping[str, str] = {
    "api_keys": _SOME.format(table="api_keys", user="user_id"),
    "users": _SOME.format(table="users", user="id"),
    "memories": _SOME.format(table="memories", user="user_id"),
    "budget_accounts": _SOME.format(table="budget_accounts", user="user_id"),
    "idempotency_keys": _SOME.format(table="idempotency_keys", user="user_id"),
}
"""The rows that carry their user's name and go by themselves. Keys are the first: nobody begins anything with them then."""

_THREADS = """
WITH page AS MATERIALIZED (SELECT id, tenant_id, user_id FROM threads WHERE id > $3 ORDER BY id LIMIT $4)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS until,
       ARRAY(SELECT id FROM page WHERE tenant_id = $1 AND user_id = $2) AS ids
"""
# The lock makes whoever would begin a turn wait; a statement of its own sees the turns that began before it.
_LOCK = "SELECT FROM threads WHERE id = ANY ($1) ORDER BY id FOR UPDATE"
_DELETE_FREE = """
WITH free AS MATERIALIZED (
    SELECT id FROM threads WHERE id = ANY ($1)
    AND NOT EXISTS (SELECT FROM runs WHERE thread_id = threads.id AND finished_at IS NULL)
), {gone}
SELECT count(*) FROM gone
"""
_DELETE = _DELETE_FREE.format(gone=THREADS_GONE.format(these="free"))
# The new id has the time of the old one in its first six bytes, as a uuid7 has, so bills stay in their order.
_USAGE = """
WITH page AS MATERIALIZED (SELECT run_id FROM usage WHERE run_id > $3 ORDER BY run_id LIMIT $4), renamed AS (
    UPDATE usage SET user_id = $5, run_id = encode(
        substr(uuid_send(usage.run_id), 1, 6) || substr(uuid_send(gen_random_uuid()), 7), 'hex')::uuid
    WHERE run_id = ANY (ARRAY(SELECT run_id FROM page)) AND tenant_id = $1 AND user_id = $2 RETURNING 1
)
SELECT (SELECT run_id FROM page ORDER BY run_id DESC LIMIT 1) AS until, (SELECT count(*) FROM renamed) AS gone
"""
# What was done stays on record, and not by or to whom: it is the tenant's record, and says of keys that are gone how they went.
_NAMELESS = f"""
UPDATE audit_events SET
    user_id = CASE WHEN user_id = $2 THEN '{NOBODY}' ELSE user_id END,
    target_user_id = nullif(target_user_id, $2)
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM audit_events WHERE tenant_id = $1 AND (user_id = $2 OR target_user_id = $2) LIMIT $3 FOR UPDATE
))
"""  # noqa: S608  # a constant of ours
_LEFT = " UNION ALL ".join(
    f"SELECT '{table.name}' AS name WHERE EXISTS (SELECT FROM {table.name} WHERE tenant_id = $1 AND {column} = $2)"  # noqa: S608  # names of our own tables
    for table in metadata.sorted_tables
    for column in ("user_id", "target_user_id")
    if column in table.columns
)


class Erasure:
    """Erases users. `wait_s` bounds the wait for their runs to end; a statement looks at `limit` rows at most."""

    def __init__(
        self,
        database: Database,
        *,
        wait_s: float = 60.0,
        limit: int = 500,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._runs = RunRepository(database)
        self._budgets = BudgetRepository(database)
        self._wait_s = wait_s
        self._limit = limit
        self._sleep = sleep
        self._clock = clock

    async def erase(self, tenant_id: str, user_id: str, *, cancel: bool = False) -> Mapping[str, int]:
        """Erase a user of a tenant; return how many rows of which table that took, and how many bills and
        records of the audit trail have no name now.

        What goes with a thread is counted as one thread. With `cancel` runs that have not ended are stopped first. Raises
        ThreadBusy while there are any and `cancel` was not given, when they do not end in time, and when the user begins
        others as fast as they are erased; StoreUnavailable; and InvalidRequest without a user. What was erased by then is.
        """
        if not user_id:
            raise InvalidRequest("A user must be named.", param="user")
        erased: Counter[str] = Counter()
        for _ in range(_ROUNDS):
            await self._end_runs(tenant_id, user_id, cancel=cancel)
            await self._budgets.abandon_users(tenant_id, user_id)
            for name, statement in _BY_NAME.items():
                erased[name] += await self._some(statement, tenant_id, user_id)
            erased["threads"] += await self._threads(tenant_id, user_id)
            erased["usage"] += await self._usage(tenant_id, user_id)
            erased["audit_events"] += await self._some(_NAMELESS, tenant_id, user_id)
            if not await self.left(tenant_id, user_id):
                return dict(erased)
        raise ThreadBusy("The user goes on beginning runs. Revoke their access, then erase them again.")

    async def left(self, tenant_id: str, user_id: str) -> list[str]:
        """Return the tables in which there is something under the user's name."""
        async with self._database.raw() as connection:
            return [row["name"] for row in await connection.fetch(_LEFT, tenant_id, user_id)]

    async def _end_runs(self, tenant_id: str, user_id: str, *, cancel: bool) -> None:
        """Return when none of the user's runs is without an end. Raises ThreadBusy."""
        give_up_at, told = self._clock() + self._wait_s, set[UUID]()
        while unended := await self._unended(tenant_id, user_id):
            if not cancel:
                raise ThreadBusy(
                    f"{len(unended)} runs of the user have not ended. Wait for them, or have them cancelled."
                )
            if self._clock() >= give_up_at:
                raise ThreadBusy(
                    f"{len(unended)} runs of the user were cancelled and have not ended in {self._wait_s:g} s. "
                    "An agent ends them, or takes them over when theirs is gone: is one running?"
                )
            for run_id in unended:
                if run_id not in told:
                    await self._runs.cancel(run_id, CancelAction.INTERRUPT, ERASED)
            told.update(unended)
            await self._sleep(_POLL_S)

    async def _unended(self, tenant_id: str, user_id: str) -> list[UUID]:
        async with self._database.raw() as connection:
            return [plain(row["id"]) for row in await connection.fetch(_UNENDED, tenant_id, user_id)]

    async def _some(self, statement: str, tenant_id: str, user_id: str) -> int:
        gone, last = 0, self._limit
        while last == self._limit:
            async with self._database.raw() as connection:
                tag = await connection.execute(statement, tenant_id, user_id, self._limit)
            last = int(tag.rpartition(" ")[2])
            gone += last
        return gone

    async def _threads(self, tenant_id: str, user_id: str) -> int:
        """Erase the threads that have no unended run; one that has is met again in the next round."""
        at: UUID | None = UUID(int=0)
        gone = 0
        while at is not None:
            async with self._database.raw() as connection:
                [page] = await connection.fetch(_THREADS, tenant_id, user_id, at, self._limit)
                if page["ids"]:
                    gone += await _delete(connection, page["ids"])
            at = page["until"]
        return gone

    async def _usage(self, tenant_id: str, user_id: str) -> int:
        at: UUID | None = UUID(int=0)
        renamed = 0
        while at is not None:
            async with self._database.raw() as connection:
                [page] = await connection.fetch(_USAGE, tenant_id, user_id, at, self._limit, NOBODY)
            at = page["until"]
            renamed += page["gone"]
        return renamed


async def _delete(connection: "asyncpg.Connection[Any]", thread_ids: list[UUID]) -> int:
    async with connection.transaction():
        await connection.execute(_LOCK, thread_ids)
        gone: int = await connection.fetchval(_DELETE, thread_ids)
    return gone
