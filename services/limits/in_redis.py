"""Buckets and slots in Redis or Valkey, one script each on the server's clock: for whoever has one and wants Postgres spared.

One server, with replicas or not, and not a cluster: the keys that one script touches are in no one hash slot. `redis` is an
optional dependency (`mainstay[redis]`), imported by `open_redis` alone.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from services.errors import ConfigurationError, StoreUnavailable
from services.limits.quota import Charge, Reading, Taken
from services.limits.stores import NOBODY, SLOT_TTL_S, Admitted, Slots

if TYPE_CHECKING:
    from redis.asyncio import Redis

_RATE, _SLOTS, _HOLDER = b"mainstay:rate:", b"mainstay:slots:", b"mainstay:holder:"

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
"""
# KEYS: what remembers which sets of slots the holder is in, `places` sets of slots, and the buckets. A set lives as long as the
# last slot that is held of it, and with it what remembers it.
_ADMIT = f"""{_NOW}
local holder, ttl, places = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 2, places + 1 do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    if redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[i + 2]) then return {{i - 1}} end
end
local taken, costs, admitted = {{}}, {{}}, 1
for i = places + 2, #KEYS do
    local at = places + 4 + 2 * (i - places - 2)
    costs[i] = tonumber(ARGV[at + 1])
    taken[i] = math.max(0, tonumber(redis.call('GET', KEYS[i]) or now) - now)
    if taken[i] + costs[i] > tonumber(ARGV[at]) then admitted = 0 end
end
local answer = {{0, admitted}}
for i = places + 2, #KEYS do
    if admitted == 1 then
        taken[i] = taken[i] + costs[i]
        if taken[i] > 0 then
            redis.call('SET', KEYS[i], string.format('%.6f', now + taken[i]), 'PX', math.ceil(taken[i] * 1000))
        end
    end
    answer[#answer + 1] = string.format('%.6f', taken[i])
end
if admitted == 1 and places > 0 then
    for i = 2, places + 1 do
        redis.call('ZADD', KEYS[i], now + ttl, holder)
        redis.call('PEXPIRE', KEYS[i], math.ceil(ttl * 1000))
        redis.call('SADD', KEYS[1], KEYS[i])
    end
    redis.call('PEXPIRE', KEYS[1], math.ceil(ttl * 1000))
end
return answer
"""
_SETTLE = f"""{_NOW}
for i, key in ipairs(KEYS) do
    local taken = math.max(0, tonumber(redis.call('GET', key) or now) - now) + tonumber(ARGV[i])
    if taken > 0 then
        redis.call('SET', key, string.format('%.6f', now + taken), 'PX', math.ceil(taken * 1000))
    else
        redis.call('DEL', key)
    end
end
"""
_RENEW = f"""{_NOW}
local ttl, holding = tonumber(ARGV[1]), {{}}
for i, key in ipairs(KEYS) do
    holding[i] = 0
    for _, slots in ipairs(redis.call('SMEMBERS', key)) do
        local held = redis.call('ZSCORE', slots, ARGV[i + 1])
        if held and tonumber(held) > now then
            redis.call('ZADD', slots, now + ttl, ARGV[i + 1])
            redis.call('PEXPIRE', slots, math.ceil(ttl * 1000))
            redis.call('PEXPIRE', key, math.ceil(ttl * 1000))
            holding[i] = 1
        end
    end
end
return holding
"""
_RELEASE = """
for i, key in ipairs(KEYS) do
    for _, slots in ipairs(redis.call('SMEMBERS', key)) do redis.call('ZREM', slots, ARGV[i]) end
    redis.call('DEL', key)
end
"""


def open_redis(url: str, *, timeout_s: float) -> "Redis":
    """Return a client without connecting; `timeout_s` bounds every command. Raises ConfigurationError."""
    try:
        from redis.asyncio import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigurationError(
            "Limits in Redis need the package: pip install 'mainstay[redis]'.", param="limits.redis_url"
        ) from None
    try:
        return Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )
    except ValueError:
        raise ConfigurationError(
            "The URL of Redis must look like redis://user:password@host:6379/0.", param="limits.redis_url"
        ) from None


class RedisQuotas:
    """`services.limits.stores.QuotaStore` in Redis."""

    def __init__(self, client: "Redis") -> None:
        self._admit = client.register_script(_ADMIT)
        self._settle = client.register_script(_SETTLE)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)

    async def admit(
        self,
        *,
        charges: Sequence[Charge] = (),
        slots: Sequence[Slots] = (),
        holder: UUID = NOBODY,
        ttl_s: float = SLOT_TTL_S,
    ) -> Admitted:
        keys = [
            _HOLDER + holder.bytes,
            *(_SLOTS + wanted.key for wanted in slots),
            *(_RATE + charge.key for charge in charges),
        ]
        limits = (wanted.limit for wanted in slots)
        sizes = (size for charge in charges for size in (charge.quota.size_s, charge.cost_s))
        with translated():
            full, *answer = await self._admit(keys=keys, args=[holder.bytes, ttl_s, len(slots), *limits, *sizes])
        if full:
            return Admitted(full=slots[int(full) - 1])
        admitted, *taken = answer
        readings = (
            Reading(charge=charge, taken_s=float(taken_s)) for charge, taken_s in zip(charges, taken, strict=True)
        )
        return Admitted(taken=Taken(admitted=bool(admitted), readings=tuple(readings)))

    async def settle(self, charges: Sequence[Charge]) -> None:
        costs = [charge.units * charge.quota.unit_s for charge in charges]
        with translated():
            await self._settle(keys=[_RATE + charge.key for charge in charges], args=costs)

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        ids = [holder.bytes for holder in holders]
        with translated():
            holding = await self._renew(keys=[_HOLDER + holder for holder in ids], args=[ttl_s, *ids])
        return {holder for holder, holds in zip(holders, holding, strict=True) if holds}

    async def release(self, holders: Collection[UUID]) -> None:
        ids = [holder.bytes for holder in holders]
        with translated():
            await self._release(keys=[_HOLDER + holder for holder in ids], args=ids)


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable where Redis could not do it; what it says of a wrong command is a bug, and passes."""
    from redis import exceptions

    try:
        yield
    except (
        exceptions.ConnectionError,  # refused, reset, loading its data, wrong password
        exceptions.TimeoutError,
        exceptions.ReadOnlyError,  # we reached a replica
        exceptions.OutOfMemoryError,
        exceptions.ClusterDownError,
        exceptions.MasterDownError,
    ) as error:
        raise _unavailable() from error
    except exceptions.ResponseError as error:
        if str(error).split(" ")[0] in _NOT_NOW:
            raise _unavailable() from error
        raise


_NOT_NOW = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "NOAUTH", "LOADING", "TRYAGAIN"})
"""What Redis says of itself, and not of a command: a script runs too long, it cannot write, it has lost its replicas."""


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The store of the limits cannot be reached.", retry_after_s=1.0)
