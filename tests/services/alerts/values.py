"""An alert, and what is due of it."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.alerts.types import Alert, AlertKind, DueAlert, News, Severity

WORSE = Alert(
    id=UUID(int=7),
    kind=AlertKind.SCORE_WORSENED,
    severity=Severity.WARNING,
    summary="helpfulness of react (small, prompts p2) fell from 8.5 to 8 over 143 judged answers.",
    labels={"criterion": "helpfulness", "graph": "react", "model": ""},
    facts={"test": "slow CUSUM", "before": 8.5, "after": 8.0, "answers": 143},
    since=datetime(2026, 3, 1, 11, tzinfo=UTC),
    run_ids=(UUID(int=1), UUID(int=2)),
)
RAISED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def due(channel: str = "webhook", *, news: News = News.FIRING, attempt: int = 1, **changes: object) -> DueAlert:
    made = DueAlert(alert=WORSE, channel=channel, news=news, attempt=attempt, raised_at=RAISED_AT)
    return replace(made, **changes)  # type: ignore[arg-type]
