"""`python -m evaluation.calibration`: how far a judge agrees with people, and how far it can be talked into a grade.

    handbook   our own labelled answers (or --data FILE of the same form), criterion by criterion
    llmbar     pairs of answers in the form of LLMBar: --data FILE, which is not part of the repository
    hostile    wrong answers with a text that asks for a grade, and without

`make calibrate` starts the embedded model for it. A measurement that takes long may be cut into pieces: with --journal what
was said is kept, and --for-s ends a piece. --write publishes the figures in a file for whoever shows scores
(`evaluator.calibrations`), or among those that are shipped where none is named.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from evaluation.asking import asking_arguments, asking_of
from evaluation.begging import Screening
from evaluation.calibration.hostile import attempts, outcomes
from evaluation.calibration.journal import Journal
from evaluation.calibration.labelled import HANDBOOK, labelled, pairs
from evaluation.calibration.measuring import Measuring, OutOfTime
from evaluation.calibration.record import PUBLISHED, Calibration, write_calibrations
from evaluation.calibration.tables import calibration_table, confusion_table, hostile_table
from evaluation.calibration.thumbs import JUDGED
from evaluation.remote_judge import key_in, open_remote_judge
from services.errors import MainstayError


def main(given: Sequence[str] | None = None) -> int:
    """Returns 1 where a judge or a file cannot be had, 2 where questions are left over."""
    asked = parser().parse_args(given)
    try:
        asyncio.run(_measure(asked))
    except OutOfTime:
        print("There are questions left. The same command goes on from its journal.", file=sys.stderr)
        return 2
    except (MainstayError, OSError, ValueError) as error:
        print(f"calibration: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments, which `make calibrate` shares."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["handbook", "llmbar", "hostile"])
    parser.add_argument("--base-url", required=True, help="of an OpenAI-compatible endpoint")
    parser.add_argument("--model", required=True, help="its name there, and on record")
    parser.add_argument("--key-file", type=Path, help="a file with the endpoint's key")
    asking_arguments(parser)
    parser.add_argument("--data", type=Path, help="the labelled set")
    parser.add_argument(
        "--criterion", choices=list(JUDGED), action="append", help="this one; repeatable (default: all)"
    )
    parser.add_argument("--every", type=int, default=1, help="take every so many'th pair that is not of LLMBar/Natural")
    parser.add_argument("--subset", default="", help="only pairs whose subset ends so, such as Natural")
    parser.add_argument("--limit", type=int, help="of answers, or of pairs of each kind: the first so many")
    parser.add_argument("--journal", type=Path, help="where what was said is kept")
    parser.add_argument("--for-s", type=float, default=float("inf"), help="ask nothing more after so many seconds")
    publishing_arguments(parser)
    return parser


def publishing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where figures go."""
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=PUBLISHED,
        metavar="FILE",
        help="publish the figures in this file (without FILE: among the shipped ones)",
    )


def publish(records: Sequence[Calibration], heading: str, path: Path | None) -> None:
    """Print figures, and write them where a path is given. Raises ValueError and OSError."""
    tables = [calibration_table(records), *map(confusion_table, records)]
    print("\n\n".join([heading, *tables]))
    if path is not None:
        write_calibrations(records, path)


async def _measure(asked: argparse.Namespace) -> None:
    journal = Journal(asked.journal)
    gateway, judge = open_remote_judge(
        base_url=asked.base_url, model=asked.model, key=key_in(asked.key_file), asking=asking_of(asked)
    )
    measuring = Measuring(
        judge=judge,
        journal=journal,
        today=datetime.now(UTC).date().isoformat(),
        until=time.monotonic() + asked.for_s,
    )
    try:
        if asked.what == "hostile":
            for name in asked.criterion or ("accuracy",):
                found = await outcomes(measuring, JUDGED[name], attempts(asked.data) if asked.data else attempts())
                print(hostile_table(found, judge=judge.name, criterion=name), end="\n\n")
                missed = [f"{one.attempt.id} ({one.moved:+.2f})" for one in found if not one.held]
                print(f"Moved and not marked: {', '.join(missed) or 'none'}.")
            return
        records = await (_on_pairs if asked.what == "llmbar" else _on_answers)(measuring, asked)
    finally:
        await gateway.aclose()
    publish(records, f"By {judge.name}, {measuring.today}:", asked.write)


async def _on_answers(measuring: Measuring, asked: argparse.Namespace) -> list[Calibration]:
    path = asked.data or HANDBOOK
    criteria = [JUDGED[name] for name in asked.criterion or JUDGED]
    items = labelled(path)[: asked.limit]
    print(_marked([item.sample.answer for item in items]), end="\n\n")
    return await measuring.answers(criteria, items, path.stem)


async def _on_pairs(measuring: Measuring, asked: argparse.Namespace) -> list[Calibration]:
    """Natural and adversarial pairs are told apart, since the latter were chosen to deceive a judge."""
    if asked.data is None:
        raise ValueError("name the file of pairs with --data; it is not part of the repository")
    items = [item for item in pairs(asked.data) if item.subset.endswith(asked.subset)]
    print(_marked([answer for item in items for answer in (item.first, item.second)]), end="\n\n")
    natural = [item for item in items if item.subset.endswith("Natural")]
    others = [item for item in items if not item.subset.endswith("Natural")][:: asked.every]
    named = (("LLMBar/Natural", natural), ("LLMBar/Adversarial", others))
    found = [await measuring.pairs(chosen[: asked.limit], name) for name, chosen in named]
    return [one for one in found if one is not None]


def _marked(answers: Sequence[str]) -> str:
    """Return how many ordinary answers are taken for ones that speak to a judge: false alarms, of a set that has none."""
    screening = Screening()
    marked = sum(bool(screening.signs(answer)) for answer in answers)
    return f"Marked as speaking to a judge: {marked} of {len(answers)} answers."


if __name__ == "__main__":
    sys.exit(main())
