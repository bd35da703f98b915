"""`python -m benchmarks.guardrails`: measures the input guard on labelled texts; `--choose` fits what is chosen on them.

The texts are a file of their own, since their licences differ: gzipped JSON lines of `text`, `label` (attack or benign),
`kind` and `source`. With `--shipped` they are judged by the weights, the weighing and the thresholds that ship; that is for
texts which none of these has seen. Without it every source is judged by what has not seen it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.guardrails.corpus import Case, cases
from benchmarks.guardrails.disguised import disguised
from benchmarks.guardrails.folds import FOLDS, fold_weights
from benchmarks.guardrails.judging import (
    BLOCK_FPR,
    FLAG_FPR,
    Judged,
    cross_validated,
    evidence,
    scored,
    threshold,
    transferred,
    weigh,
)
from benchmarks.guardrails.latency import latencies
from benchmarks.guardrails.packages import FOLDER
from benchmarks.guardrails.tables import kinds_table, latency_table, readings_table, sources_table, transfer_table
from benchmarks.report import machine, write_section
from services.guardrails.chain import build_chain
from services.guardrails.model_card import CARD, read_card

DATA = Path(os.environ.get("MAINSTAY_GUARDRAIL_DATA", FOLDER / "dev.jsonl.gz"))
DOCUMENT = Path("docs/guardrails.md")


def main(given: Sequence[str] | None = None) -> int:
    """Returns 1 where there is nothing to measure with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrails", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the labelled texts (default: %(default)s)")
    parser.add_argument("--shipped", action="store_true", help="judge by what ships")
    parser.add_argument("--choose", action="store_true", help="fit the weighing, and choose the thresholds that ship")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT}")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args(given)
    if not arguments.data.exists():
        print(
            f"There are no labelled texts at {arguments.data}: name a file with --data. It is not part of the repository."
        )
        return 1
    missing = [fold for fold in (*FOLDS, "other") if not fold_weights(fold).exists()]
    if missing and not arguments.shipped:
        print("There are no weights to judge with: `python -m benchmarks.guardrails.train --data FILE` makes them.")
        return 1
    labelled = cases(arguments.data)
    if arguments.shipped:
        print(_shipped(labelled, arguments.jobs))
        return 0
    judged = cross_validated(labelled, evidence(labelled, jobs=arguments.jobs, unseen=True))
    if arguments.choose:
        _choose(judged)
    section = _section(judged, _by_what_ships(labelled, arguments.jobs), arguments.jobs)
    print(section)
    print(sources_table(judged, threshold(judged, FLAG_FPR)))
    if arguments.write:
        write_section(DOCUMENT, section, name="eval-guardrails")
    return 0


def _choose(judged: Judged) -> None:
    """Write the weighing of all sources, and the thresholds of the cross-validated scores, into the card."""
    weighing = weigh(judged.columns, judged.attacks, judged.sources)
    measured = {
        name: {
            "recall": round(float(found[judged.attacks].mean()), 4),
            "fpr": round(float(found[~judged.attacks].mean()), 4),
        }
        for name, found in (("block", transferred(judged, BLOCK_FPR)), ("flag", transferred(judged, FLAG_FPR)))
    }
    card = json.loads(CARD.read_text())
    chosen = {
        "sha256": card["sha256"],
        "coefficients": [round(value, 4) for value in weighing.coefficients],
        "intercept": round(weighing.intercept, 4),
        "block_at": round(threshold(judged, BLOCK_FPR), 4),
        "flag_at": round(threshold(judged, FLAG_FPR), 4),
        "measured": {
            "texts": len(judged.cases),
            "how": "each source by what was fitted and chosen on the others",
            **measured,
        },
        "training": card["training"],
    }
    CARD.write_text(json.dumps(chosen, indent=2) + "\n")


def _shipped(labelled: Sequence[Case], jobs: int) -> str:
    card = read_card()
    columns = evidence(labelled, jobs=jobs, unseen=False)
    judged = Judged(tuple(labelled), columns, scored(columns, card.weighing))
    chosen = "\n".join(
        f"{name} at {at}: recall {100 * float((judged.scores[judged.attacks] >= at).mean()):.1f} %, "
        f"FPR {100 * float((judged.scores[~judged.attacks] >= at).mean()):.2f} %"
        for name, at in (("block", card.block_at), ("flag", card.flag_at))
    )
    return f"{chosen}\n\n{kinds_table(judged)}\n\n{sources_table(judged, card.flag_at)}"


def _by_what_ships(labelled: Sequence[Case], jobs: int) -> Judged:
    """Judge by the shipped weights; weighed as if each source were new."""
    return cross_validated(labelled, evidence(labelled, jobs=jobs, unseen=False))


def _section(judged: Judged, shipped: Judged, jobs: int) -> str:
    chain = build_chain(("length", "injection"), {})
    attacks = int(judged.attacks.sum())
    parts = (
        f"{attacks:,} attacks and {len(judged.cases) - attacks:,} benign texts of {len(np.unique(judged.sources))} sources; "
        "each source is judged by weights and a weighing that have not seen it.",
        kinds_table(judged),
        "Other readings of family A, each at the thresholds of its own row's scores:",
        readings_table(judged, shipped, FOLDS),
        "Where the threshold was chosen without the source too:",
        transfer_table(judged),
        "The same short attacks in clear and under each disguise, at the thresholds for blocking and for flagging:",
        _disguises(judged, jobs),
        f"Processor time for one text, on {machine()}, which other processes shared:",
        latency_table(latencies(chain, judged.cases)),
    )
    return "\n\n".join(parts)


def _disguises(judged: Judged, jobs: int) -> str:
    card, lines = read_card(), ["| disguise | blocked, % | flagged or blocked, % |", "|---|---:|---:|"]
    groups = disguised(judged.cases)
    texts = [case for group in groups.values() for case in group]
    scores = scored(evidence(texts, jobs=jobs, unseen=True), card.weighing)
    kinds = np.array([case.kind for case in texts])
    for name in groups:
        here = scores[kinds == name]
        blocked, flagged = (here >= card.block_at).mean(), (here >= card.flag_at).mean()
        lines.append(f"| {name} | {100 * blocked:.1f} | {100 * flagged:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
