"""What tool calls leave behind: counts by outcome, and a rate that only a tool's own failures lower."""

import pytest

from deployments.tool_report import ToolReport
from graphs.tools.care import ToolCalled
from graphs.tools.outcomes import Outcome
from tests.deployments.test_reporter import FakeMeter
from tests.services.runs.fakes import FakeClock


def rates(meter: FakeMeter) -> list[float]:
    return [value for name, value, _ in meter.seen if name == "mainstay_tool_call_success_rate"]


def test_every_call_is_counted_by_its_outcome() -> None:
    """Its duration is observed where it was made."""
    meter = FakeMeter()
    report = ToolReport(meter, clock=FakeClock())
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.OK, duration_s=0.25))
    report.tool_called(ToolCalled(tool="unknown", outcome=Outcome.REFUSED))
    assert ("mainstay_tool_calls", 1.0, {"tool": "clock", "outcome": "ok"}) in meter.seen
    assert ("mainstay_tool_calls", 1.0, {"tool": "unknown", "outcome": "refused"}) in meter.seen
    assert [value for name, value, _ in meter.seen if name == "mainstay_tool_call_duration_seconds"] == [0.25]


@pytest.mark.parametrize(
    ("outcome", "rate"),
    [(Outcome.ERROR, [1.0, 0.5]), (Outcome.TIMEOUT, [1.0, 0.5]), (Outcome.UNAVAILABLE, [1.0, 0.5])]
    + [(outcome, [1.0]) for outcome in (Outcome.REFUSED, Outcome.BLOCKED, Outcome.CANCELLED)],
)
def test_the_rate_is_the_tools_own(outcome: Outcome, rate: list[float]) -> None:
    """The model's mistakes, the guard's refusals and hang-ups do not lower it."""
    meter = FakeMeter()
    report = ToolReport(meter, clock=FakeClock())
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.OK, duration_s=0.1))
    report.tool_called(ToolCalled(tool="clock", outcome=outcome))
    assert rates(meter) == rate


def test_old_calls_are_forgotten() -> None:
    """After five minutes a bad spell is history; each tool has a rate of its own."""
    meter, clock = FakeMeter(), FakeClock()
    report = ToolReport(meter, clock=clock)
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.TIMEOUT))
    report.tool_called(ToolCalled(tool="calculator", outcome=Outcome.OK, duration_s=0.1))
    clock.now += 310.0
    report.tool_called(ToolCalled(tool="clock", outcome=Outcome.OK, duration_s=0.1))
    assert rates(meter) == [0.0, 1.0, 1.0]
