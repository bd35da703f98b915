"""The guard's verdicts, counted and timed where they are asked for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.errors import GuardrailUnavailable
from services.guard import ALLOWED, Action, Stage, Verdict
from services.telemetry.guard import MeasuredGuard
from services.telemetry.metrics import GUARD_SECONDS, GUARD_VERDICTS
from tests.services.telemetry.fakes import KeptMeter


@dataclass
class Guard:
    """Takes a quarter of a second for each verdict; with None it never comes to one."""

    says: list[Verdict | GuardrailUnavailable | None]
    now_s: float = 0.0
    asked: list[tuple[Sequence[str], Stage]] = field(default_factory=list)

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        self.asked.append((texts, stage))
        verdict = self.says.pop(0)
        self.now_s += 0.25
        if verdict is None:
            await asyncio.Event().wait()
        if isinstance(verdict, GuardrailUnavailable):
            raise verdict
        assert verdict is not None
        return verdict


async def test_verdicts_are_counted_by_rule_and_pass_as_they_are() -> None:
    """What is allowed has no rule; each verdict is one observation of the time it took."""
    blocked = Verdict(action=Action.BLOCK, rule="injection", message="no")
    guard, meter = Guard([ALLOWED, blocked]), KeptMeter()
    measured = MeasuredGuard(guard, meter, lambda: guard.now_s)
    assert await measured.check(["hello"], Stage.INPUT) is ALLOWED
    assert await measured.check(["evil"], Stage.TOOL_RESULT) is blocked
    assert guard.asked == [(["hello"], Stage.INPUT), (["evil"], Stage.TOOL_RESULT)]
    assert meter.of(GUARD_VERDICTS) == [
        (1.0, {"stage": "input", "verdict": "allow", "rule": "none"}),
        (1.0, {"stage": "tool_result", "verdict": "block", "rule": "injection"}),
    ]
    assert meter.of(GUARD_SECONDS) == [(0.25, {"stage": "input"}), (0.25, {"stage": "tool_result"})]


async def test_a_guard_that_fails_is_a_verdict_of_its_own() -> None:
    """It is counted by the error's code, and raised all the same."""
    guard, meter = Guard([GuardrailUnavailable("away")]), KeptMeter()
    with pytest.raises(GuardrailUnavailable):
        await MeasuredGuard(guard, meter, lambda: guard.now_s).check(["hello"], Stage.INPUT)
    assert meter.of(GUARD_VERDICTS) == [(1.0, {"stage": "input", "verdict": "guardrail_unavailable", "rule": "none"})]


async def test_a_check_that_is_cancelled_is_none() -> None:
    """Whoever hung up has not been judged."""
    guard, meter = Guard([None]), KeptMeter()
    checking = asyncio.create_task(MeasuredGuard(guard, meter, lambda: guard.now_s).check(["hello"], Stage.INPUT))
    await asyncio.sleep(0)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert meter.seen == []
