"""How often the tools of a replica succeed, over the last minutes."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphs.tools.outcomes import Outcome

BUCKETS = 30
"""In how many steps a call leaves the window."""


@dataclass(slots=True)
class _Bucket:
    number: int
    succeeded: int = 0
    ended: int = 0


class SuccessRates:
    """Of each tool's calls within the last `window_s`, the share that gave a result. Cancelled calls do not count.

    Per replica. A refused, failed, late or unavailable call and a withheld result are all no success: the agent had to go
    on without. Names are expected to be bounded, as those that a `ToolObserver` is told are.
    """

    def __init__(self, *, window_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket_s = window_s / BUCKETS
        self._clock = clock
        self._buckets: dict[str, deque[_Bucket]] = {}

    def record(self, tool: str, outcome: Outcome) -> None:
        """Count a call that has just ended."""
        if outcome is Outcome.CANCELLED:
            return
        number = self._number()
        buckets = self._buckets.setdefault(tool, deque(maxlen=BUCKETS))
        if not buckets or buckets[-1].number != number:
            buckets.append(_Bucket(number))
        buckets[-1].ended += 1
        buckets[-1].succeeded += outcome is Outcome.OK

    def current(self) -> Mapping[str, float]:
        """Return the rate, 0 to 1, of every tool that was called within the window."""
        oldest = self._number() - BUCKETS
        rates = {}
        for tool, buckets in self._buckets.items():
            recent = [bucket for bucket in buckets if bucket.number > oldest]
            if recent:
                rates[tool] = sum(bucket.succeeded for bucket in recent) / sum(bucket.ended for bucket in recent)
        return rates

    def _number(self) -> int:
        return int(self._clock() // self._bucket_s)
