"""The checks in order, their deadlines, and what is measured of them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from services.errors import ConfigurationError, GuardrailUnavailable, ModelThrottled
from services.guard import ALLOWED, Action, Verdict
from services.guardrails.semantic import CHECKS
from services.guardrails.semantic.tier import Mode, SemanticTier, Tally, TimedCheck, build_tier
from services.guardrails.semantic.types import Context
from services.telemetry.metrics import SEMANTIC_SECONDS, SEMANTIC_VERDICTS, UNMEASURED, Metric
from tests.services.guardrails.semantic.fakes import BAD, FLAGGED, FakeCheck, tier_of

KNOBS: Mapping[str, Mapping[str, Any]] = {
    "phrases": {"phrases": ["heron"]},
    "encoded": {},
    "judge": {"policy": "No herons."},
}
"""Enough for each check to be made. A check without knobs here fails the tests below."""


async def nobody(instruction: str, material: str) -> str:
    return "KEEPS"


async def judged(tier: SemanticTier, piece: str = "A heron.") -> Verdict:
    return await tier.judge(piece, Context(), Tally())


@pytest.mark.parametrize(("mode", "trusted", "ahead"), [
    (Mode.AUTO, True, True), (Mode.AUTO, False, False), (Mode.SYNC, True, False), (Mode.ASYNC, False, True),
])  # fmt: skip
def test_when_text_may_run_ahead(mode: Mode, trusted: bool, ahead: bool) -> None:
    """By itself only in a turn that is to be trusted."""
    assert mode.runs_ahead(trusted=trusted) is ahead


async def test_the_first_that_ends_it_is_the_last_that_is_asked() -> None:
    """So that a cheap check saves a dear one its work; what only flags does not hide what ends it."""
    flags, ends, after = FakeCheck(lambda _: FLAGGED), FakeCheck(), FakeCheck()
    assert await judged(tier_of(flags, ends, after)) == BAD
    assert (len(flags.asked), len(ends.asked), len(after.asked)) == (1, 1, 0)
    assert await judged(tier_of(flags, FakeCheck()), "A tit.") == FLAGGED


async def test_a_check_that_cannot_tell_is_no_verdict() -> None:
    """Neither one that says so, nor one that takes too long."""

    def throttled(piece: str) -> Verdict:
        raise ModelThrottled("Too many.")

    for tier in (tier_of(FakeCheck(throttled)), tier_of(FakeCheck(waits=True), deadline_s=0.001)):
        with pytest.raises(GuardrailUnavailable):
            await judged(tier)


class Measured:
    def __init__(self) -> None:
        self.seen: list[tuple[Metric, float, Mapping[str, str]]] = []

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert set(labels) == set(metric.labels)
        self.seen.append((metric, value, labels))


async def test_what_is_measured() -> None:
    """Verdicts by check, and its longest time; once for a text, however many sentences it has."""
    meter, tally, slow = Measured(), Tally(), FakeCheck(waits=True)
    times = iter([0.0, 1.0, 5.0, 9.0, 9.0, 9.5, 10.0, 10.25])
    check = FakeCheck()
    tier = SemanticTier([TimedCheck(check=check, deadline_s=9)], meter=meter, clock=lambda: next(times))
    for piece in ("A tit.", "A wren.", "A heron."):
        await tier.judge(piece, Context(), tally)
    stopped = asyncio.create_task(
        SemanticTier([TimedCheck(check=slow, deadline_s=9)], clock=lambda: next(times)).judge(
            "A tit.", Context(), tally
        )
    )
    await asyncio.sleep(0)
    stopped.cancel()
    await asyncio.wait([stopped])
    tier.record(tally)
    assert meter.seen == [
        (SEMANTIC_VERDICTS, 2.0, {"check": "fake", "verdict": "allow"}),
        (SEMANTIC_VERDICTS, 1.0, {"check": "fake", "verdict": "block"}),
        (SEMANTIC_VERDICTS, 1.0, {"check": "fake", "verdict": "stopped"}),
        (SEMANTIC_SECONDS, 4.0, {"check": "fake"}),
    ]


@pytest.mark.parametrize("name", CHECKS)
async def test_every_check_of_the_registry(name: str) -> None:
    """It is made from knobs, says its name, lets a harmless sentence pass, and refuses a knob that it does not have."""
    tier = build_tier({name: {**KNOBS[name], "deadline_s": 0.5}}, Mode.SYNC, nobody, UNMEASURED)
    assert await judged(tier, "A sentence about the weather.") == ALLOWED
    assert CHECKS[name](KNOBS[name], nobody).name == name
    for wrong in ({"no_such": 1}, {**KNOBS[name], "deadline_s": 0}):
        with pytest.raises(ConfigurationError, match=name):
            build_tier({name: wrong}, Mode.SYNC, nobody, UNMEASURED)


def test_a_check_that_is_not_there_is_refused() -> None:
    """With the names of those that are."""
    with pytest.raises(ConfigurationError, match="phrases"):
        build_tier({"vibes": {}}, Mode.AUTO, nobody, UNMEASURED)


async def test_a_redaction_ends_the_answer() -> None:
    """No notice can stand for a sentence."""
    redact = FakeCheck(lambda _: Verdict(action=Action.REDACT, rule="x", message="x", replacement="y"))
    assert not (await judged(tier_of(redact, FakeCheck()))).action.passes
