"""An alert as a value: what happened, how bad it is, since when, and which runs show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class AlertKind(StrEnum):
    SCORE_WORSENED = "score_worsened"
    SCORE_COLLAPSED = "score_collapsed"
    SCORE_IMPROVED = "score_improved"
    DISTRIBUTION_CHANGED = "distribution_changed"
    UNSAFE_ANSWER = "unsafe_answer"


class Severity(StrEnum):
    """INFO is worth a look some time, WARNING today, CRITICAL now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class News(StrEnum):
    """What a channel is told of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What an operator is told. `labels` say of what it is, and are the same for as long as it lasts; `facts` say what was
    measured. `since` is when it began, as far as can be told, and `lasts_s` how long it holds, for what is over by itself.

    Nothing in it was said by a user or a model: it goes to logs and pagers, from where nothing can be erased.
    """

    id: UUID
    kind: AlertKind
    severity: Severity
    summary: str
    labels: Mapping[str, str]
    facts: Mapping[str, str | float | int] = field(default_factory=dict)
    since: datetime
    run_ids: tuple[UUID, ...]
    lasts_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAlert:
    """Something to tell `channel`: that the alert fires, or that it is over. `attempt` counts from 1, anew after each yes.

    `ends_at` is None for what fires until it is resolved; `resolution` says why that was.
    """

    alert: Alert
    channel: str
    news: News
    attempt: int
    raised_at: datetime
    ends_at: datetime | None = None
    resolution: str | None = None
