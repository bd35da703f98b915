"""What tool calls leave behind: a count by outcome, their duration, and each tool's rate of success."""

from graphs.tools.care import ToolCalled
from graphs.tools.success import SuccessRates
from services.telemetry.metrics import TOOL_CALL_DURATION, TOOL_CALL_SUCCESS_RATE, TOOL_CALLS, Meter


class ToolReport:
    """Implements `ToolObserver`."""

    def __init__(self, meter: Meter, rates: SuccessRates) -> None:
        self._meter = meter
        self._rates = rates

    def tool_called(self, call: ToolCalled) -> None:
        self._meter.record(TOOL_CALLS, 1.0, {"tool": call.tool, "outcome": call.outcome.value})
        if call.duration_s is not None:
            self._meter.record(TOOL_CALL_DURATION, call.duration_s, {"tool": call.tool})
        self._rates.record(call.tool, call.outcome)

    def show(self) -> None:
        """Set the rates of the tools that were called of late."""
        for tool, rate in self._rates.current().items():
            self._meter.record(TOOL_CALL_SUCCESS_RATE, rate, {"tool": tool})
