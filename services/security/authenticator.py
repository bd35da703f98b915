"""From the key that a client presents to the principal who asks, without a query on the hot path."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from services.runs.deadline import Clock
from services.security.keys import ApiKey, ApiKeyStore, KeyDigest, lookup_of
from services.security.permissions import permissions_of
from services.security.refusals import Reason, Watch, over, refusal
from services.security.remembered import Remembered
from services.types import Principal

REFUSED_CACHE_S = 5.0
"""How long a key that was refused is refused without asking the store again: so long may a new key have to wait."""


class Authenticator:
    """Recognises API keys. One per ingress replica.

    What the store said is kept for `cache_s` seconds (so long may a revoked key still be accepted here) or 5 s for a
    refusal, by digest: the keys themselves are never kept. Each of the two caches holds at most `max_cached` entries and
    forgets the oldest, so a flood of invented keys pushes out no valid one; each invented key costs one query.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        pepper: str,
        watch: Watch,
        *,
        cache_s: float,
        clock: Clock,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_cached: int = 10_000,
    ) -> None:
        self._store = store
        self._digest = KeyDigest(pepper)
        self._watch = watch
        self._now = now
        self._accepted = Remembered[ApiKey](ttl_s=cache_s, size=max_cached, clock=clock)
        self._refused = Remembered[bool](ttl_s=min(cache_s, REFUSED_CACHE_S), size=max_cached, clock=clock)

    async def authenticate(self, presented: str) -> Principal:
        """Return who holds the key. Raises Unauthenticated, the same for every reason, and StoreUnavailable."""
        lookup = lookup_of(presented)
        if lookup is None:
            self._watch.refused(Reason.UNREADABLE)
            raise refusal()
        digest = self._digest(presented)
        key = self._accepted.get(digest)
        if key is None and self._refused.get(digest) is None:
            key = await self._recognise(lookup, digest)
        if key is None:
            self._watch.refused(Reason.KEY_UNKNOWN)
            raise refusal()
        if not key.usable(self._now()):
            self._watch.refused(over(key), key)
            raise refusal()
        return Principal(
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            key_id=key.id,
            permissions=permissions_of(key.role, key.scopes),
        )

    async def _recognise(self, lookup: str, digest: bytes) -> ApiKey | None:
        key = await self._store.find(lookup)
        # A key that does not exist is compared all the same, so that both refusals take the same time.
        expected = bytes(len(digest)) if key is None else key.digest
        if hmac.compare_digest(expected, digest) and key is not None:
            self._accepted.put(digest, key)
            return key
        self._refused.put(digest, True)
        return None
