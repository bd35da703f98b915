"""`python -m benchmarks.resilience`: fail-over, isolation, a flood, an ill judge; each has a section of docs/performance.md."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import uvloop

from benchmarks.report import machine, write_section
from benchmarks.resilience import fail_over, flood, isolation, judging
from benchmarks.resilience.report import fail_over_section, flood_section, isolation_section, judging_section
from benchmarks.resilience.site import Site

Part = Callable[[Site, argparse.Namespace], Awaitable[tuple[object, str]]]
"""Measures one thing. Returns what was found, and the same in Markdown."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def run_fail_over(site: Site, arguments: argparse.Namespace) -> tuple[object, str]:
    plan = fail_over.Plan().quick() if arguments.quick else fail_over.Plan()
    plan = plan if arguments.rounds is None else replace(plan, rounds=arguments.rounds)
    found = await fail_over.measure(site, plan, say)
    return found, fail_over_section(found)


async def run_isolation(site: Site, arguments: argparse.Namespace) -> tuple[object, str]:
    plan = isolation.Plan().quick() if arguments.quick else isolation.Plan()
    plan = plan if arguments.rounds is None else replace(plan, rounds=arguments.rounds)
    found = await isolation.measure(site, plan, say)
    return found, isolation_section(found)


async def run_flood(site: Site, arguments: argparse.Namespace) -> tuple[object, str]:
    plan = flood.Plan().quick() if arguments.quick else flood.Plan()
    plan = plan if arguments.rounds is None else replace(plan, rounds=arguments.rounds)
    found = await flood.measure(site, plan, say)
    return found, flood_section(found)


async def run_judging(site: Site, arguments: argparse.Namespace) -> tuple[object, str]:
    plan = judging.Plan().quick() if arguments.quick else judging.Plan()
    plan = plan if arguments.rounds is None else replace(plan, rounds=arguments.rounds)
    found = await judging.measure(site, plan, say)
    return found, judging_section(found)


PARTS: Mapping[str, Part] = {
    "fail-over": run_fail_over,
    "isolation": run_isolation,
    "flood": run_flood,
    "judge": run_judging,
}


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="which (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="instead of each part's own number")
    parser.add_argument(
        "--quick", action="store_true", help="in short, to see that all works; no documentation is written"
    )
    parser.add_argument("--data", type=Path, default=Path("build"), help="folder for the figures as JSON (%(default)s)")
    arguments = parser.parse_args(given)
    arguments.parts = arguments.parts.split(",")
    if unknown := {*arguments.parts} - PARTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return arguments


async def run(arguments: argparse.Namespace) -> None:
    async with Site() as site:
        for name in arguments.parts:
            found, section = await PARTS[name](site, arguments)
            arguments.data.mkdir(parents=True, exist_ok=True)
            data = orjson.dumps({"machine": machine(), name: found}, option=orjson.OPT_INDENT_2)
            (arguments.data / f"resilience-{name}.json").write_bytes(data)
            print(section, flush=True)
            if not arguments.quick:
                write_section(Path("docs/performance.md"), section, name=f"resilience-{name}")


def main(given: Sequence[str] | None = None) -> None:
    uvloop.run(run(read_arguments(given)))


if __name__ == "__main__":
    main()
