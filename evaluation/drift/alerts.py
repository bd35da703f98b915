"""What an operator is told of a change."""

from collections.abc import Mapping
from dataclasses import asdict
from uuid import UUID

from evaluation.drift.level import Change, What
from evaluation.drift.series import DriftPolicy, Watched
from services.alerts.types import Alert, AlertKind, Severity
from services.judged import Ended, Series

KINDS: Mapping[What, AlertKind] = {
    What.WORSENED: AlertKind.SCORE_WORSENED,
    What.COLLAPSED: AlertKind.SCORE_COLLAPSED,
    What.IMPROVED: AlertKind.SCORE_IMPROVED,
    What.CHANGED: AlertKind.DISTRIBUTION_CHANGED,
}
_SEVERITIES: Mapping[What, Severity] = {
    What.WORSENED: Severity.WARNING,
    What.COLLAPSED: Severity.CRITICAL,
    What.IMPROVED: Severity.INFO,
    What.CHANGED: Severity.INFO,
}


def news_of(change: Change, series: Series, watched: Watched, policy: DriftPolicy, new_id: UUID) -> Alert | Ended:
    """Return the alert that a change is, or what it ends. A changed distribution of scores may be worse, and warns."""
    if change.ends:
        return Ended(kinds=tuple(KINDS[what] for what in change.ends), resolution=change.what)
    changed_scores = change.what is What.CHANGED and policy.watch(series.criterion).level
    return Alert(
        id=new_id,
        kind=KINDS[change.what],
        severity=Severity.WARNING if changed_scores else _SEVERITIES[change.what],
        summary=_summary(change, series, watched),
        labels={name: str(value) for name, value in asdict(series).items()},
        facts={
            "test": change.test,
            "statistic": _rounded(change.statistic),
            "limit": _rounded(change.limit),
            "before": _rounded(change.before),
            "after": _rounded(change.after),
            "answers": change.answers,
            "compared_with": watched.compared_with,
        },
        since=change.since,
        run_ids=watched.examples(change, policy),
    )


def _summary(change: Change, series: Series, watched: Watched) -> str:
    direction = "fell" if change.after < change.before else "rose"
    verb = "has another distribution: its mean was" if change.what is What.CHANGED else f"{direction} from"
    to = ", and is" if change.what is What.CHANGED else " to"
    before = f", compared with {watched.compared_with}" if watched.compared_with else ""
    return (
        f"{series.criterion} of {series.graph} ({version_of(series.model, series.prompt_version)}) {verb} "
        f"{change.before:.3g}{to} {change.after:.3g} over {change.answers} judged answers{before}."
    )


def version_of(model: str, prompt_version: str) -> str:
    """Return what two series of the same graph and judge differ in, in words."""
    return f"{model or 'no model'}, prompts {prompt_version or 'unnamed'}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
