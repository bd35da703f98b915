"""What is particular to token buckets in Postgres."""

import asyncpg
import pytest

from services.errors import StoreUnavailable
from services.limits.quota import Charge, Quota
from services.storage.database import Database, translated
from services.storage.rates import RateRepository

QUOTA = Quota(limit=10)


@pytest.mark.postgres
async def test_what_has_been_full_for_an_hour_is_pruned_and_what_somebody_takes_from_is_passed_over(
    database: Database,
) -> None:
    """Nobody waits for a pruner, nor a pruner for anybody: so they cannot wait for each other in a ring."""
    rates = RateRepository(database)
    await rates.take([Charge(key=key, quota=QUOTA) for key in (b"a", b"b", b"c")])
    async with database.raw() as connection:
        await connection.execute("UPDATE rate_buckets SET full_at = now() - interval '2 hours' WHERE key <> 'c'")
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SELECT FROM rate_buckets WHERE key = 'a' FOR UPDATE")
        assert await rates.prune() == 1
    assert await rates.prune() == 1
    assert await rates.prune() == 0


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
def test_having_to_give_way_is_not_our_bug(error: type[asyncpg.PostgresError]) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise error("deadlock detected")
