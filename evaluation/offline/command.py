"""`python -m evaluation`: how good an agent is on a data set, and whether a change has made it worse.

    run       ask a deployed Mainstay every case, mark the answers, and write results and a report
    compare   two results, case by case
    gate      hold results to the rules of a file
    report    write the HTML page of results again

Exit status 0: done, and the gate holds. 1: the gate does not hold. 2: it could not be run, or cases are left: --resume goes on.
`make eval` is `run` for the embedded model, or for any settings, on this machine.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from evaluation.asking import asking_arguments, asking_of
from evaluation.calibration.record import known_calibrations
from evaluation.criteria.types import Judge, Part, Reading, Rubric
from evaluation.offline.comparison import compare, text_of
from evaluation.offline.dataset import read_dataset
from evaluation.offline.evaluating import NOT_RUN, OK, Against, Plan, conclude, evaluate
from evaluation.offline.gate import read_gate
from evaluation.offline.results import read_results
from evaluation.offline.runner import Marking
from evaluation.offline.target import TargetUnusable
from services.errors import MainstayError

DATASET = Path(__file__).parents[1] / "datasets" / "assistant.jsonl"
MEASURED = ("latency", "length", "tool_success", "refusal")
"""What is measured where nobody judges."""


class NoJudge:
    """Implements `Judge` for evaluations that ask nobody: only code marks the answers."""

    name = "nobody"

    async def judge(self, rubric: Rubric, parts: Sequence[Part]) -> Reading:
        return Reading(value=None, reason="no judge was named")


def main(given: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    asked = _parser().parse_args(given)
    try:
        return _do(asked)
    except (TargetUnusable, MainstayError, OSError, ValueError) as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return NOT_RUN
    except KeyboardInterrupt:
        print("Stopped. The same command with --resume goes on.", file=sys.stderr)
        return NOT_RUN


def run_arguments(parser: argparse.ArgumentParser, *, concurrency: int) -> None:
    """Add what `run` and `make eval` are both told; `concurrency` is how many cases are asked at once if nothing is said."""
    parser.add_argument("--dataset", type=Path, default=DATASET, help="JSON lines (default: %(default)s)")
    parser.add_argument("--name", help="what this configuration is called (default: the name of the folder)")
    parser.add_argument("--criteria", help="of the registry, and correctness, with commas between them")
    parser.add_argument("--concurrency", type=int, default=concurrency, help="cases at once (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the results that --out has")
    parser.add_argument("--for-s", type=float, default=float("inf"), help="begin no case after so many seconds")
    conclusion_arguments(parser)


def conclusion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what results are held against."""
    parser.add_argument("--baseline", type=Path, help="the folder of results to compare with")
    parser.add_argument("--gate", type=Path, help="a file of rules that must hold")
    parser.add_argument("--calibrations", type=Path, help="a file of calibrations to show beside the shipped ones")


def against_of(asked: argparse.Namespace) -> Against:
    """Read what `conclusion_arguments` name. Raises ValueError and OSError."""
    return Against(
        calibrations=known_calibrations(asked.calibrations),
        gate=None if asked.gate is None else read_gate(asked.gate),
        baseline=None if asked.baseline is None else read_results(asked.baseline),
    )


def plan_of(asked: argparse.Namespace, against: Against, *, out: Path) -> Plan:
    """Return the plan of arguments that `run_arguments` added. Raises ValueError and OSError."""
    return Plan(
        dataset=read_dataset(asked.dataset),
        out=out,
        name=asked.name or out.name,
        resume=asked.resume,
        for_s=asked.for_s,
        concurrency=asked.concurrency,
        baseline=against.baseline,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="evaluate a deployed Mainstay")
    run.add_argument("--target", required=True, metavar="URL", help="such as http://127.0.0.1:8000")
    run.add_argument("--key-file", type=Path, help="a file with a key of it")
    run.add_argument("--graph", default="", help="the graph to ask (default: the default one)")
    run.add_argument("--timeout-s", type=float, default=600.0, help="for one case (default: %(default)s)")
    run.add_argument("--out", type=Path, required=True, help="the folder for results and report")
    run.add_argument("--judge-url", help="of an OpenAI-compatible endpoint; without it only code marks the answers")
    run.add_argument("--judge-model", default="", help="its name there, and on record")
    run.add_argument("--judge-key-file", type=Path, help="a file with the endpoint's key")
    asking_arguments(run, "judge-")
    run_arguments(run, concurrency=4)
    comparison = commands.add_parser("compare", help="two results, case by case")
    comparison.add_argument("baseline", type=Path)
    comparison.add_argument("candidate", type=Path)
    for name, words in (("gate", "hold results to rules"), ("report", "write the page of results again")):
        command = commands.add_parser(name, help=words)
        command.add_argument("results", type=Path)
        command.add_argument("--page", type=Path, help="where the page goes (default: report.html beside the results)")
        conclusion_arguments(command)
    return parser


def _do(asked: argparse.Namespace) -> int:
    match asked.command:
        case "run":
            against = against_of(asked)
            asyncio.run(_run(asked, plan_of(asked, against, out=asked.out)))
            return conclude(asked.out, against, say=print)
        case "compare":
            print(text_of(compare(read_results(asked.baseline), read_results(asked.candidate))))
            return OK
        case "gate" if asked.gate is None:
            raise ValueError("name the file of rules with --gate")
        case _:
            return conclude(asked.results, against_of(asked), say=print, page=asked.page)


async def _run(asked: argparse.Namespace, plan: Plan) -> None:
    # These take seconds to import, and the other commands need none of them.
    from evaluation.begging import Screening
    from evaluation.offline.http_target import HttpTarget
    from evaluation.remote_judge import key_in, open_remote_judge

    async with AsyncExitStack() as stack:
        judge: Judge = NoJudge()
        if asked.judge_url:
            gateway, judge = open_remote_judge(
                base_url=asked.judge_url,
                model=asked.judge_model,
                key=key_in(asked.judge_key_file),
                asking=asking_of(asked, "judge-"),
            )
            stack.push_async_callback(gateway.aclose)
        target = HttpTarget(asked.target, key=key_in(asked.key_file), graph=asked.graph, timeout_s=asked.timeout_s)
        stack.push_async_callback(target.aclose)
        judged = ("correctness", "helpfulness", "groundedness", "safety") if asked.judge_url else ()
        criteria = asked.criteria.split(",") if asked.criteria else (*judged, *MEASURED)
        marking = Marking(criteria=criteria, judge=judge, screen=Screening())
        await evaluate(plan, target, marking)
