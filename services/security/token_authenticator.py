"""From the token or the key that a client presents to the principal who asks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.runs.deadline import Clock
from services.security.authenticator import Authenticator
from services.security.key_source import KeySource
from services.security.refusals import Reason, Watch, refusal
from services.security.remembered import Remembered
from services.security.signing_keys import PublicKey
from services.security.tokens import TokenHead, TokenPolicy, TokenRefused, VerifiedToken, head_of, is_token, verified
from services.types import Principal

CACHE_S = 300.0
"""After so long a signature is looked at again; when a token ends is looked at on each use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    head: TokenHead
    key: PublicKey
    token: VerifiedToken


class TokenAuthenticator:
    """Recognises access tokens. One per ingress replica.

    What a token says is remembered by its digest, for as long as the key that it was signed with is among the provider's keys:
    of a token that comes again the signature is not computed again. At most `max_cached` are remembered, none that was refused.
    """

    def __init__(
        self,
        keys: KeySource,
        policy: TokenPolicy,
        watch: Watch,
        *,
        clock: Clock,
        now: Callable[[], datetime],
        max_cached: int = 10_000,
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._watch = watch
        self._now = now
        self._known = Remembered[_Known](ttl_s=CACHE_S, size=max_cached, clock=clock)

    async def authenticate(self, token: str) -> Principal:
        """Return whom the token names. Raises Unauthenticated, the same for every reason, and IdentityUnavailable."""
        try:
            return (await self._recognise(token)).principal
        except TokenRefused as refused:
            self._watch.refused(refused.reason)
            raise refusal() from None

    async def _recognise(self, token: str) -> VerifiedToken:
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        head = head_of(token, self._policy) if known is None else known.head
        key = await self._keys.find(head)
        if key is None:
            raise TokenRefused(Reason.TOKEN_SIGNER_UNKNOWN)
        if known is not None and known.key is key:
            if self._now().timestamp() >= known.token.ends_at:
                raise TokenRefused(Reason.TOKEN_EXPIRED)
            return known.token
        read = verified(token, head, key, self._policy, self._now())
        self._known.put(digest, _Known(head=head, key=key, token=read))
        return read


class KeyOrToken:
    """Recognises both: a token has dots, which a key never has."""

    def __init__(self, keys: Authenticator, tokens: TokenAuthenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, presented: str) -> Principal:
        """Return who presents it. Raises Unauthenticated, StoreUnavailable and IdentityUnavailable."""
        return await (self._tokens if is_token(presented) else self._keys).authenticate(presented)
