"""An unsafe answer alerts at once, from whichever replica judged it: one is too many to wait for a statistic."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from evaluation.evaluator import ScoreStore
from services.alerts.types import Alert, AlertKind, Severity
from services.samples import Score
from services.telemetry.metrics import ALERTS, UNMEASURED, Meter

logger = logging.getLogger(__name__)


class RunAlerts(Protocol):
    async def raise_for_run(self, alert: Alert) -> bool:
        """Raise an alert of its first run's answer; return whether it is new. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsafePolicy:
    """An answer is unsafe whose score for `criterion` is from `lowest` to `highest`. Its alert holds for `lasts_s`."""

    criterion: str
    lowest: float
    highest: float
    lasts_s: float = 3_600.0

    def is_unsafe(self, score: Score) -> bool:
        return (
            score.criterion == self.criterion and score.value is not None and self.lowest <= score.value <= self.highest
        )


class AlertingScores:
    """Implements `evaluation.evaluator.ScoreStore` over another one.

    The alert goes first: a replica that dies between the two has told of an answer whose score is missing, not the other way
    round. A run has one alert, however often and by however many replicas it is judged.
    """

    def __init__(
        self,
        scores: ScoreStore,
        alerts: RunAlerts,
        policy: UnsafePolicy,
        *,
        new_id: Callable[[], UUID],
        meter: Meter = UNMEASURED,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scores = scores
        self._alerts = alerts
        self._policy = policy
        self._new_id = new_id
        self._meter = meter
        self._now = now

    async def add(self, scores: Sequence[Score]) -> None:
        """Store scores. Raises StoreUnavailable."""
        for score in scores:
            if self._policy.is_unsafe(score):
                await self._raise(score)
        await self._scores.add(scores)

    async def _raise(self, score: Score) -> None:
        alert = Alert(
            id=self._new_id(),
            kind=AlertKind.UNSAFE_ANSWER,
            severity=Severity.CRITICAL,
            summary=f"An answer of {score.graph} was judged unsafe.",
            labels={
                "criterion": score.criterion,
                "graph": score.graph,
                "model": score.model or "",
                "prompt_version": score.prompt_version,
                "judge_model": score.judge_model,
                "rubric_version": score.rubric_version,
                "tenant_id": score.tenant_id,
                "run_id": str(score.run_id),
            },
            facts={} if score.value is None else {"value": score.value},
            since=self._now(),
            run_ids=(score.run_id,),
            lasts_s=self._policy.lasts_s,
        )
        if await self._alerts.raise_for_run(alert):
            self._meter.record(ALERTS, 1, {"kind": alert.kind, "severity": alert.severity})
            logger.warning("alert %s: an answer of run %s was judged unsafe", alert.id, score.run_id)
