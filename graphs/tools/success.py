"""How often the tools of a replica succeed, over the last minutes."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from graphs.tools.outcomes import Outcome
from services.resilience.window import RollingWindow

BUCKETS = 30
"""In how many steps a call leaves the window."""

_SAYS_NOTHING = frozenset({Outcome.CANCELLED, Outcome.REJECTED, Outcome.ANSWERED, Outcome.HELD})


class SuccessRates:
    """Of each tool's calls within the last `window_s`, the share that gave a result. Cancelled calls do not count, nor do those
    that a person decided or that were held.

    Per replica. A refused, failed, late or unavailable call and a withheld result are all no success: the agent had to go
    on without. Names are expected to be bounded, as those that a `ToolObserver` is told are.
    """

    def __init__(self, *, window_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls = defaultdict[str, RollingWindow](lambda: RollingWindow(window_s, window_s / BUCKETS))

    def record(self, tool: str, outcome: Outcome) -> None:
        """Count a call that has just ended."""
        if outcome not in _SAYS_NOTHING:
            self._calls[tool].at(self._clock()).add(calls=1, failures=outcome is not Outcome.OK)

    def current(self) -> Mapping[str, float]:
        """Return the rate, 0 to 1, of every tool that was called within the window."""
        for calls in self._calls.values():
            calls.at(self._clock())  # drops what is too old
        return {tool: 1.0 - calls.total.failure_rate for tool, calls in self._calls.items() if calls.total.calls}
