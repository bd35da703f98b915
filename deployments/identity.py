"""Who recognises the people that ask, in an ingress replica, and who hears of those that are not let in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deployments.http.access import Authenticator
from services.security.refusals import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who recognises people, who hears of refusals, and what is to be awaited when that is over."""

    authenticator: Authenticator
    watch: Watch
    aclose: Callable[[], Awaitable[None]]
