"""One attempt to deliver a webhook over HTTP, and what came of it.

A problem is stored and logged, so it is in words of our own: neither the URL, which may hold a token, nor anything that the
receiver said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from services.errors import InvalidRequest
from services.llm.retry_after import retry_after_s
from services.security.addresses import AddressRefused

_HEADERS = {"content-type": "application/json", "user-agent": "Mainstay-Webhooks/1", "accept-encoding": "identity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What came of an attempt: without a `problem` the message was taken. With `final` no other attempt is to be made.

    `retry_after_s` is what the receiver asked for, None where it did not.
    """

    problem: str | None = None
    final: bool = False
    retry_after_s: float | None = None


class Post(Protocol):
    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """Make one attempt. It has no time limit of its own, and raises nothing but for a bug."""
        ...


class HttpPost:
    """Implements `Post` over a session of `services.security.addresses.guarded_session`, whose URLs and addresses it trusts.

    Redirects are not followed, and of an answer nothing is read but its head.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        try:
            async with self._session.post(
                url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False
            ) as answer:
                return posted(answer.status, answer.headers)
        except InvalidRequest as error:  # it was allowed when it was taken in, and no longer is
            return Posted(problem=error.message, final=True)
        except aiohttp.ClientSSLError:
            return Posted(problem="no TLS connection that can be trusted")
        except aiohttp.ClientConnectorError as error:
            return Posted(problem=_unconnected(error))
        except (aiohttp.ClientConnectionError, OSError):
            return Posted(problem="the connection closed before the answer")
        except aiohttp.ClientError:
            return Posted(problem="the answer is not readable HTTP")

    async def aclose(self) -> None:
        await self._session.close()


def _unconnected(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error.os_error, AddressRefused):
        return "the host's address is not public"
    return (
        "the host is not known" if isinstance(error, aiohttp.ClientConnectorDNSError) else "the host cannot be reached"
    )


def posted(status: int, headers: Mapping[str, str]) -> Posted:
    """Return what an answer with this status means."""
    if 200 <= status < 300:
        return Posted()
    wait_s = retry_after_s(headers) if status in (429, 503) else None
    return Posted(problem=f"HTTP {status}", final=status == 410, retry_after_s=wait_s)
