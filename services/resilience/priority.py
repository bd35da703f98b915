"""Whose work is given up first when there is too much of it, and when to come back."""

import math
from collections.abc import Callable
from enum import IntEnum

SPREAD_S = 3
"""Refused callers are told to come back over this many seconds, so that they do not all come back at once."""


class Priority(IntEnum):
    """Shed first .. shed last. Health checks and cancelling are never shed, so they have no place here."""

    EVALUATION = 0
    BACKGROUND = 1
    NEW_TURN = 2
    RESUME = 3


def come_back_s(wait_s: float, random: Callable[[], float]) -> float:
    """Return when to try again: at least `wait_s` and at least one second, plus a random part.

    Whole seconds, for HTTP's Retry-After knows no others (RFC 9110, 10.2.3).
    """
    return float(max(1, math.ceil(wait_s)) + int(random() * SPREAD_S))
