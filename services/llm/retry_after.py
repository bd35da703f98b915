"""How long a provider asks us to wait, in any of the forms in which providers say it."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 86_400.0
"""What is read; how much of it is obeyed is the breaker's policy."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
"""OpenAI's `x-ratelimit-reset-*`: 1s, 6m0s, 1h2m3s, 20ms, 8.64s."""

_RESETS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, None where the provider does not say.

    In this order: `retry-after-ms`; `retry-after` as seconds or as an HTTP date (RFC 9110 10.2.3), read against the answer's
    own `date` so that our wall clock may be wrong; the longest `x-ratelimit-reset-*` of a limit that is used up.
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if (seconds := _number(headers.get(name))) is not None:
            return _bounded(seconds * scale)
    if (until := _date(headers.get("retry-after"))) is not None:
        said_at = _date(headers.get("date")) or datetime.now(UTC)
        return _bounded((until - said_at).total_seconds())
    waits = [_duration(headers.get(reset)) for left, reset in _RESETS if headers.get(left, "0").strip() == "0"]
    return max((wait for wait in waits if wait is not None), default=None)


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _date(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _duration(value: str | None) -> float | None:
    match = _DURATION.fullmatch((value or "").strip())
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return _bounded(3_600 * hours + 60 * minutes + seconds + milliseconds / 1_000)
