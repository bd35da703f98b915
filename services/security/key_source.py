"""Where an identity provider's keys are had: one address, asked rarely, by one request at a time."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from services.errors import ConfigurationError, IdentityUnavailable
from services.runs.deadline import Clock
from services.security.signing_keys import PublicKey, SigningKeys, signing_keys
from services.security.tokens import TokenHead

logger = logging.getLogger(__name__)

MAX_KEY_SET_BYTES = 262_144
_HEADERS = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}

Fetch = Callable[[], Awaitable[bytes]]
"""Returns a key set in JSON. Raises KeysUnreachable."""


class KeysUnreachable(Exception):
    """No key set was had. The words are our own: nothing that the other side said is in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """How long keys are good for, in seconds.

    They are asked for anew after `ttl_s`, which is how long one may still be accepted that was withdrawn, and when a token
    names one that is not known; but never within `cooldown_s` of the last time. While they cannot be had the old ones are good
    for `stale_s` more. Raises ConfigurationError for times that contradict each other.
    """

    ttl_s: float = 300.0
    cooldown_s: float = 10.0
    stale_s: float = 3_600.0

    def __post_init__(self) -> None:
        if self.cooldown_s > self.ttl_s:
            raise ConfigurationError("security.jwt.keys_cooldown_s must not be longer than keys_ttl_s.")


class KeySource:
    """Keeps the keys of one identity provider. One per ingress replica; close it on the loop that uses it.

    A fetch is a task of its own, which everybody who needs it waits for, and which goes on when they leave. While the last one
    failed and the old keys are still good, nobody waits for the next. `reported` hears what came of each: ok or failed.
    """

    def __init__(self, fetch: Fetch, times: KeyTimes, *, clock: Clock, reported: Callable[[str], None]) -> None:
        self._fetch = fetch
        self._times = times
        self._clock = clock
        self._reported = reported
        self._body: bytes | None = None
        self._keys: SigningKeys = {}
        self._fetched_at = -math.inf
        self._asked_at = -math.inf
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, head: TokenHead) -> PublicKey | None:
        """Return the key that a token says it was signed with, None where there is none. Raises IdentityUnavailable."""
        wanted = (head.kid, head.algorithm)
        if self._age_s() >= self._times.ttl_s:
            await self._refresh(wait=not self._failing or not self._good())
        elif wanted not in self._keys:
            await self._refresh(wait=True)
        key = self._keys.get(wanted) if self._good() else None
        if key is None and self._failing:
            # It may be a new one that could not be had: whoever has it is not told that it is wrong.
            raise IdentityUnavailable(
                "Tokens cannot be checked: the identity provider's keys cannot be had. Try again.",
                retry_after_s=max(1.0, self._asked_at + self._times.cooldown_s - self._clock()),
            )
        return key

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age_s(self) -> float:
        return self._clock() - self._fetched_at

    def _good(self) -> bool:
        return self._age_s() < self._times.ttl_s + self._times.stale_s

    async def _refresh(self, *, wait: bool) -> None:
        """Have the keys fetched, unless that was done a moment ago, and wait for it."""
        if self._fetching is None and self._clock() - self._asked_at >= self._times.cooldown_s:
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._renew())
        if wait and self._fetching is not None:
            await asyncio.shield(self._fetching)

    async def _renew(self) -> None:
        try:
            body = await self._fetch()
            if body != self._body:  # the same keys stay the same objects, by which a verified token is known again
                self._keys, self._body = signing_keys(body), body
        except (KeysUnreachable, ValueError) as error:
            self._failing = True
            self._reported("failed")
            logger.warning("the identity provider's keys cannot be had: %s", error)
        else:
            self._failing = False
            self._fetched_at = self._clock()
            self._reported("ok")
        finally:
            self._fetching = None


class HttpKeySet:
    """A `Fetch` of the operator's own URL. Raises ConfigurationError for one that is not https, unless http is allowed.

    It is not guarded by an AddressPolicy: nobody but the operator chose it, and it is often a private address. Redirects are
    not followed, since they would be somebody else's choice.
    """

    def __init__(self, url: str, *, timeout_s: float, allow_http: bool = False) -> None:
        if not url.startswith(("https://", "http://") if allow_http else "https://"):
            raise ConfigurationError("security.jwt.jwks_url must begin with https://.")
        self._url = url
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,  # a few bytes could become a great many
        )

    async def __call__(self) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._get()
        except TimeoutError:
            raise KeysUnreachable(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise KeysUnreachable(f"no answer that can be read ({type(error).__name__})") from None

    async def aclose(self) -> None:
        await self._session.close()

    async def _get(self) -> bytes:
        async with self._session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise KeysUnreachable(f"HTTP {answer.status}")
            if "content-encoding" in answer.headers:
                raise KeysUnreachable("compressed, which was not asked for")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MAX_KEY_SET_BYTES:
                    raise KeysUnreachable(f"more than {MAX_KEY_SET_BYTES} bytes")
        return bytes(body)
