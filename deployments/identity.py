"""Who recognises the people that ask, in an ingress replica."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deployments.http.access import Authenticator


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who recognises people, and what is to be awaited when that is over."""

    authenticator: Authenticator
    aclose: Callable[[], Awaitable[None]]
