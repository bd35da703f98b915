"""`python -m benchmarks.drift`: prints the tables, and writes them to their place in docs/evaluation.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.drift.measure import PER, delay, false_alarms, false_looks
from benchmarks.drift.streams import GRADES, LARGE, MEAN, NORMAL, SMALL
from benchmarks.report import write_section
from evaluation.drift.cusum import average_run_length
from evaluation.drift.level import LevelPolicy
from evaluation.drift.windows import WindowPolicy

SMALL_LIMIT, LARGE_LIMIT, FALSE_LIMIT = 200.0, 30.0, 1.0
"""What is promised of a reference that is known, or learnt from `ENOUGH` answers; the false alarms of any."""
ENOUGH = 1_000
BASELINES = (None, 2_000, ENOUGH, 500)
SEED = 20_260_301


def main(given: Sequence[str] | None = None) -> int:
    """Returns 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--streams", type=int, default=600, help="of 100,000 answers each, for false alarms")
    parser.add_argument("--falls", type=int, default=4_000, help="streams with a fall, for delays")
    parser.add_argument("--looks", type=int, default=20_000, help="at windows, for their false alarms")
    parser.add_argument("--dry", action="store_true", help="print only")
    arguments = parser.parse_args(given)
    random = np.random.default_rng(SEED)
    delays, in_time = _delays(random, arguments.falls)
    alarms, few = _false_alarms(random, arguments.streams)
    section = "\n\n".join([delays, alarms, _looks(random, arguments.looks)])
    print(section)
    if not arguments.dry:
        write_section(Path("docs/evaluation.md"), section, name="drift")
    return 0 if in_time and few else 1


def _delays(random: np.random.Generator, streams: int) -> tuple[str, bool]:
    policy, kept = LevelPolicy(), True
    rows = [
        f"| scores | reference | {MEAN:g} → {MEAN - SMALL:g} | 9 of 10 within | {MEAN:g} → {MEAN - LARGE:g} | 9 of 10 within |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (NORMAL, GRADES):
        for baseline in BASELINES:
            small, large = (
                delay(kind, random, fall=fall, baseline=baseline, streams=streams, policy=policy)
                for fall in (SMALL, LARGE)
            )
            if baseline is None or baseline >= ENOUGH:
                kept = kept and small.mean <= SMALL_LIMIT and large.mean <= LARGE_LIMIT
            missed = f"; {small.missed:.1%} not within 3,000" if small.missed else ""
            rows.append(
                f"| {kind.name} | {_reference(baseline)} | {small.mean:.0f} ± {small.error:.0f}{missed} | {small.late:.0f} "
                f"| {large.mean:.1f} ± {large.error:.1f} | {large.late:.0f} |"
            )
    return f"Judged answers from a fall to its alert, on average, in {streams:,} streams each:\n\n" + "\n".join(
        rows
    ), kept


def _reference(baseline: int | None) -> str:
    return "known" if baseline is None else f"learnt from {baseline:,} answers"


def _false_alarms(random: np.random.Generator, streams: int) -> tuple[str, bool]:
    policy, kept = LevelPolicy(), True
    rows = [f"| scores | reference | false falls | false rises | in {PER:,} answers |", "|---|---|---|---|---|"]
    for kind in (NORMAL, GRADES):
        for known in (True, False):
            found = false_alarms(kind, random, known=known, streams=streams, answers=PER, policy=policy)
            kept = kept and found.rate < FALSE_LIMIT
            name = "known" if known else "learnt as it goes"
            rows.append(f"| {kind.name} | {name} | {found.fell} | {found.rose} | **{found.rate:.2f}** |")
    expected = sum(
        2 * PER / average_run_length(-allowance, limit)
        for allowance, limit in (
            (policy.slow_allowance, policy.slow_limit),
            (policy.fast_allowance, policy.fast_limit),
        )
    )
    title = f"False alarms in {streams:,} streams of {PER:,} judged answers in which nothing changes"
    theory = f"Siegmund's approximation, for normal scores and a known reference: {expected:.2f}."
    return f"{title}:\n\n" + "\n".join(rows) + f"\n\n{theory}", kept


def _looks(random: np.random.Generator, looks: int) -> str:
    policy = WindowPolicy()
    rows = [f"| scores | PSI | Kolmogorov-Smirnov | in {PER:,} answers |", "|---|---|---|---|"]
    for kind in (NORMAL, GRADES):
        index, test = false_looks(kind, random, looks=looks, policy=policy)
        rate = (index + test) * PER / (looks * policy.size)
        rows.append(f"| {kind.name} | {index} | {test} | **{rate:.3f}** |")
    title = f"False alarms of {looks:,} windows of {policy.size}, each beside a reference of {policy.reference_size}"
    return f"{title}:\n\n" + "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
