"""Who was not let in, and why: for those who run the system. Whoever asked is told the same words for every reason."""

import logging
import math
from enum import StrEnum
from typing import Protocol

from services.errors import Unauthenticated
from services.runs.deadline import Clock
from services.security.keys import ApiKey
from services.security.permissions import Permission
from services.types import Principal

logger = logging.getLogger(__name__)

LINE_EVERY_S = 60.0


class Reason(StrEnum):
    """Nothing of a reason is the client's own words, so it may be a label and stand in a log."""

    ABSENT = "absent"
    OTHER_SCHEME = "other_scheme"
    SEVERAL = "several"
    TOO_LONG = "too_long"
    UNREADABLE = "unreadable"
    """Neither the form of a key nor, where tokens are taken, that of a token."""
    KEY_UNKNOWN = "key_unknown"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105  # the name of a reason
    TOKEN_ALGORITHM = "token_algorithm"  # noqa: S105
    TOKEN_SIGNER_UNKNOWN = "token_signer_unknown"  # noqa: S105
    TOKEN_SIGNATURE = "token_signature"  # noqa: S105
    TOKEN_ISSUER = "token_issuer"  # noqa: S105
    TOKEN_AUDIENCE = "token_audience"  # noqa: S105
    TOKEN_CLAIMS = "token_claims"  # noqa: S105
    """A claim that must be there is not, or is not of its type."""
    TOKEN_LIFETIME = "token_lifetime"  # noqa: S105
    """It was issued for longer than tokens may last."""
    TOKEN_EARLY = "token_early"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105


def over(key: ApiKey) -> Reason:
    """Return why a key is not accepted any more."""
    return Reason.KEY_EXPIRED if key.revoked_at is None else Reason.KEY_REVOKED


def refusal() -> Unauthenticated:
    """Return what everybody is told who is not let in."""
    return Unauthenticated(
        "There is no API key or access token here that is valid. "
        "Send one, once, as `Authorization: Bearer <key>` or as `x-api-key: <key>`.",
        param="authorization",
    )


class Watch(Protocol):
    """Hears of everybody who is not let in, or not let through. Must neither wait nor raise."""

    def refused(self, reason: Reason, key: ApiKey | None = None) -> None:
        """Somebody was not let in; `key` is the one they hold, where it is known and over."""
        ...

    def denied(self, principal: Principal, permission: Permission) -> None:
        """Somebody who is known asked for what takes a permission that they lack."""
        ...


class _Unwatched:
    def refused(self, reason: Reason, key: ApiKey | None = None) -> None:
        """Nobody looks."""

    def denied(self, principal: Principal, permission: Permission) -> None:
        """Nobody looks."""


UNWATCHED: Watch = _Unwatched()
"""For the operators' commands."""


class RefusalLog:
    """Logs why people are not let in: of each reason a line a minute at most, which says how many there were since the last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[Reason, tuple[float, int]] = {}

    def refused(self, reason: Reason) -> None:
        now = self._clock()
        logged_at, unsaid = self._lines.get(reason, (-math.inf, 0))
        if now - logged_at < LINE_EVERY_S:
            self._lines[reason] = (logged_at, unsaid + 1)
            return
        self._lines[reason] = (now, 0)
        logger.info(
            "somebody was not let in: %s (%d more since the last such line)",
            reason,
            unsaid,
            extra={"event": "access_refused", "reason": str(reason), "more": unsaid},
        )
