"""What tool calls leave behind: counts by outcome, durations, and the rate of success."""

from deployments.tool_report import ToolReport
from graphs.tools.care import ToolCalled
from graphs.tools.outcomes import Outcome
from graphs.tools.success import SuccessRates
from tests.deployments.test_reporter import FakeMeter
from tests.services.runs.fakes import FakeClock


def test_every_call_is_counted_by_its_outcome() -> None:
    """Its duration is observed where it was made."""
    meter = FakeMeter()
    report = ToolReport(meter, SuccessRates(clock=FakeClock()))
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.OK, duration_s=0.25))
    report.tool_called(ToolCalled(tool="unknown", outcome=Outcome.REFUSED))
    assert ("mainstay_tool_calls", 1.0, {"tool": "clock", "outcome": "ok"}) in meter.seen
    assert ("mainstay_tool_calls", 1.0, {"tool": "unknown", "outcome": "refused"}) in meter.seen
    assert [value for name, value, _ in meter.seen if name == "mainstay_tool_call_duration_seconds"] == [0.25]


def test_the_rates_are_shown_as_they_are_now() -> None:
    """Also when no call has come since: an old failure is not shown for ever."""
    meter, clock = FakeMeter(), FakeClock()
    report = ToolReport(meter, SuccessRates(clock=clock))
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.TIMEOUT, duration_s=20.0))
    clock.now += 200.0
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.OK, duration_s=0.1))
    report.show()
    clock.now += 200.0
    report.show()
    assert [value for name, value, _ in meter.seen if name == "mainstay_tool_call_success_rate"] == [0.5, 1.0]
