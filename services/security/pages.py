"""Pages of the web that somebody else chose, read without reaching what only we can reach, and never more of them than asked.

A redirect is a request like the first: its URL is read by the policy, its host resolved and checked. It is followed on its own
site only, for whoever let a request go to one host has not let it go to another, and a host that forwards to any address it is
given would make that the same.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urldefrag, urljoin

import aiohttp

from services.security.addresses import AddressPolicy, AddressRefused, host_of

_HEADERS = {
    "accept": "text/html, text/plain, application/json;q=0.9, text/*;q=0.8",
    "accept-encoding": "identity",  # a few bytes could otherwise become any number of them
    "user-agent": "Mainstay-Fetch/1",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class PageUnavailable(Exception):
    """There is no page. The message is in words of our own, to be read by a model: it repeats nothing of what a server said."""


class PageMoved(Exception):
    """The page is said to be on another site, at `url`, which the policy has let pass and nobody has asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was read of a page at `url`, where its redirects led. `charset` is what its server says, None where it says nothing;
    `whole` is False where there is more of it.
    """

    url: str
    media_type: str
    charset: str | None
    body: bytes
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """`timeout_s` is for a whole page with its redirects, `max_bytes` of its body."""

    timeout_s: float = 10.0
    max_bytes: int = 1_048_576
    max_redirects: int = 5


class Pages(Protocol):
    async def get(self, url: str) -> Page:
        """Read a page. Raises InvalidRequest for a URL that may not be called, PageUnavailable and PageMoved."""
        ...


class HttpPages:
    """Implements `Pages` over a session of `services.security.addresses.guarded_session` with the same policy."""

    def __init__(
        self, session: aiohttp.ClientSession, policy: AddressPolicy, limits: FetchLimits | None = None
    ) -> None:
        self._session = session
        self._policy = policy
        self._limits = limits or FetchLimits()

    async def get(self, url: str) -> Page:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._followed(url)
        except TimeoutError:
            raise PageUnavailable(f"It did not come within {self._limits.timeout_s:g} s.") from None
        except aiohttp.ClientSSLError:
            raise PageUnavailable("Its host has no certificate that can be trusted.") from None
        except aiohttp.ClientConnectorError as error:
            raise PageUnavailable(_unconnected(error)) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
            raise PageUnavailable("The connection closed before the end of it.") from None
        except aiohttp.ClientError:
            raise PageUnavailable("What its host answers is not readable HTTP.") from None

    async def _followed(self, url: str) -> Page:
        for _ in range(self._limits.max_redirects + 1):
            found = await self._read(url)
            if isinstance(found, Page):
                return found
            if _site(found) != _site(url):
                raise PageMoved(found)
            url = found
        raise PageUnavailable(f"It redirects more than {self._limits.max_redirects} times.")

    async def _read(self, url: str) -> Page | str:
        """Make one request: a page, or where it redirects to."""
        self._policy.check(url)  # as it is written, before another parser has made its own of it
        async with self._session.get(url, headers=_HEADERS, allow_redirects=False, auto_decompress=False) as answer:
            if answer.status in _REDIRECTS and "location" in answer.headers:
                return self._location(url, answer.headers["location"])
            if not 200 <= answer.status < 300:
                raise PageUnavailable(f"Its host answers with HTTP {answer.status}.")
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise PageUnavailable("It is compressed, though it was not asked for like that.")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > self._limits.max_bytes:
                    break
            return Page(
                url=url,
                media_type=answer.content_type.lower(),
                charset=answer.charset,
                body=bytes(body[: self._limits.max_bytes]),
                whole=len(body) <= self._limits.max_bytes,
            )

    def _location(self, url: str, location: str) -> str:
        try:
            there = urldefrag(urljoin(url, location)).url
        except ValueError:
            raise PageUnavailable("It redirects to what is not a URL.") from None
        self._policy.check(there)
        return there

    async def aclose(self) -> None:
        await self._session.close()


def _site(url: str) -> str:
    """The host without a `www.` before it, which is the same owner's as the host that redirects there."""
    return host_of(url).removeprefix("www.")


def _unconnected(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error.os_error, AddressRefused):
        return "Its host is not at a public address."
    return (
        "Its host is not known."
        if isinstance(error, aiohttp.ClientConnectorDNSError)
        else "Its host cannot be reached."
    )
