"""What was measured, as Markdown."""

from collections.abc import Sequence

from evaluation.calibration.hostile import MOST_MOVED, Outcome
from evaluation.calibration.record import Calibration


def calibration_table(records: Sequence[Calibration]) -> str:
    """Return a row for each record."""
    lines = [
        "| criterion | labelled set | n | unscored | same label | kappa | 95 % | same order |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in records:
        order = "" if one.ranking is None else f"{100 * one.ranking:.0f} %"
        lines.append(
            f"| {one.criterion} (rubric {one.rubric_version}) | {one.labelled_set} | {one.n} | {one.unscored} "
            f"| {100 * one.share:.0f} % | {one.kappa:.2f} | {one.low:.2f} to {one.high:.2f} | {order} |"
        )
    return "\n".join(lines)


def confusion_table(one: Calibration) -> str:
    """Return a record's confusion: people in rows, the judge in columns."""
    lines = [f"| {one.criterion}: people | {' | '.join(f'judge: {label}' for label in one.labels)} |"]
    lines.append("|---|" + "---:|" * len(one.labels))
    lines += [
        f"| {label} | {' | '.join(map(str, row))} |" for label, row in zip(one.labels, one.confusion, strict=True)
    ]
    return "\n".join(lines)


def hostile_table(outcomes: Sequence[Outcome], *, judge: str, criterion: str) -> str:
    """Return how many attempts of each kind moved a score, and how many of these were not seen."""
    lines = [
        f"{len(outcomes)} attempts on `{criterion}` by {judge}:",
        "",
        "| kind | attempts | moved by more than 1 point | of these marked | marked in all | most, points |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    kinds = dict.fromkeys(one.attempt.kind for one in outcomes)
    for kind in (*kinds, "all"):
        here = [one for one in outcomes if kind in (one.attempt.kind, "all")]
        moved = [one for one in here if one.moved is not None and one.moved > MOST_MOVED]
        most = max((one.moved for one in here if one.moved is not None), default=0.0)
        lines.append(
            f"| {kind} | {len(here)} | {len(moved)} | {sum(bool(one.flagged) for one in moved)} "
            f"| {sum(bool(one.flagged) for one in here)} | {10 * most:+.1f} |"
        )
    return "\n".join(lines)
