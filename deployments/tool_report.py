"""What tool calls leave behind: a count by outcome, their duration, and each tool's rate of success."""

import time
from collections import defaultdict
from collections.abc import Callable

from graphs.tools.care import ToolCalled
from graphs.tools.outcomes import Outcome
from services.resilience.window import RollingWindow
from services.telemetry.metrics import TOOL_CALL_DURATION, TOOL_CALL_SUCCESS_RATE, TOOL_CALLS, Meter

WINDOW_S = 300.0
BUCKET_S = 10.0

NOT_THE_TOOLS = frozenset({Outcome.REFUSED, Outcome.BLOCKED, Outcome.CANCELLED})
"""Ends that say nothing of a tool: the model's mistake, the guard's word, the run's end."""


class ToolReport:
    """Implements `ToolObserver`. The rate is over the last `WINDOW_S`; it moves with calls only, and tells of this replica."""

    def __init__(self, meter: Meter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._clock = clock
        self._calls: defaultdict[str, RollingWindow] = defaultdict(lambda: RollingWindow(WINDOW_S, BUCKET_S))

    def tool_called(self, call: ToolCalled) -> None:
        self._meter.record(TOOL_CALLS, 1.0, {"tool": call.tool, "outcome": call.outcome.value})
        if call.duration_s is not None:
            self._meter.record(TOOL_CALL_DURATION, call.duration_s, {"tool": call.tool})
        if call.outcome not in NOT_THE_TOOLS:
            window = self._calls[call.tool]
            window.at(self._clock()).add(calls=1, failures=int(call.outcome is not Outcome.OK))
            self._meter.record(TOOL_CALL_SUCCESS_RATE, 1.0 - window.total.failure_rate, {"tool": call.tool})
