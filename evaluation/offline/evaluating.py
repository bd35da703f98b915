"""One evaluation from a data set to its report, of a target that the caller hands over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evaluation.calibration.record import KnownCalibrations
from evaluation.offline.comparison import compared, require_comparable, summary_of, text_of
from evaluation.offline.dataset import Dataset
from evaluation.offline.gate import Gate
from evaluation.offline.progress import ProgressBar
from evaluation.offline.report import report
from evaluation.offline.results import Conditions, Journal, Results, read_results
from evaluation.offline.runner import Marking, Runner
from evaluation.offline.target import Target

PAGE = "report.html"
OK, GATE_FAILED, NOT_RUN = 0, 1, 2
"""The exit statuses of every command: 2 is also an evaluation that has cases left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What results are held against, read before anything is asked: what is wrong with it costs no evaluation then."""

    calibrations: KnownCalibrations
    gate: Gate | None = None
    baseline: Results | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done: where results go, whether they go on with earlier ones, and for how many seconds cases are begun.

    Results that could not be compared with those of `baseline` are not begun.
    """

    dataset: Dataset
    out: Path
    name: str
    baseline: Results | None = None
    resume: bool = False
    for_s: float = float("inf")
    concurrency: int = 4


async def evaluate(
    plan: Plan, target: Target, marking: Marking, *, clock: Callable[[], float] = time.monotonic
) -> Results:
    """Ask what is left, and return what there is then. Raises TargetUnusable, ValueError and OSError."""
    conditions = Conditions(
        name=plan.name,
        target=target.name,
        dataset=plan.dataset.name,
        digest=plan.dataset.digest,
        cases=len(plan.dataset.cases),
        measures=marking.measures,
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if plan.baseline is not None:
        require_comparable(plan.baseline.conditions, conditions)
    journal = Journal(plan.out, conditions, going_on=plan.resume)
    bar = ProgressBar(clock=clock)
    runner = Runner(
        target=target,
        marking=marking,
        concurrency=plan.concurrency,
        progress=bar,
        until=clock() + plan.for_s,
        clock=clock,
    )
    try:
        await runner.run(plan.dataset.cases, journal)
    finally:
        bar.close()
    return journal.results


def conclude(folder: Path, against: Against, *, say: Callable[[str], None], page: Path | None = None) -> int:
    """Say what a folder's results come to, write the page, and return the exit status. Raises ValueError and OSError."""
    found = compared(read_results(folder), against.baseline)
    results = found.results
    say(f"{results.conditions.name}: {results.conditions.target}\n\n{summary_of(found.lines)}")
    if found.baseline is not None:
        say(f"\nless {found.baseline.conditions.name}, case by case:\n\n{text_of(found.differences)}")
    findings = [] if against.gate is None else against.gate.findings(found)
    target = page or folder / PAGE
    page_text = report(found, findings=findings, calibrations=against.calibrations)
    target.write_text(page_text, encoding="utf-8", errors="replace")
    for finding in findings:
        say(f"{'ok  ' if finding.holds else 'FAIL'}  {finding.said}")
    say(f"\nReport: {target}")
    if not results.complete:
        say(f"{len(results.cases)} of {results.conditions.cases} cases are done: --resume goes on.")
        return NOT_RUN
    return OK if all(finding.holds for finding in findings) else GATE_FAILED
