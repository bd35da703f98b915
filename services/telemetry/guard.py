"""A guard whose verdicts are counted and timed, as whoever asks it sees them: the way to it and the wait for it included."""

import time
from collections.abc import Callable, Sequence

from services.errors import MainstayError
from services.guard import Guard, Stage, Verdict
from services.telemetry.metrics import GUARD_SECONDS, GUARD_VERDICTS, Meter


class MeasuredGuard:
    """Implements `services.guard.Guard` before another one. A check that was cancelled has no verdict and no time."""

    def __init__(self, guard: Guard, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._meter = meter
        self._clock = clock

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        began_at = self._clock()
        try:
            verdict = await self._guard.check(texts, stage)
        except MainstayError as error:
            self._record(stage, error.code, "none", began_at)
            raise
        self._record(stage, verdict.action.value, verdict.rule or "none", began_at)
        return verdict

    def _record(self, stage: Stage, verdict: str, rule: str, began_at: float) -> None:
        self._meter.record(GUARD_VERDICTS, 1.0, {"stage": stage.value, "verdict": verdict, "rule": rule})
        self._meter.record(GUARD_SECONDS, self._clock() - began_at, {"stage": stage.value})
