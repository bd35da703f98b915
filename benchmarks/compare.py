"""`python -m benchmarks`: the byte pass-through (a), the usual server (b) and Mainstay (c), in interleaved rounds."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import Measured, Workload, idle_cores, measure
from benchmarks.picture import draw
from benchmarks.report import markdown, write_section
from benchmarks.summary import Comparison, titles
from benchmarks.targets import TARGETS, Simulation, Target

WORKLOADS: dict[str, Workload] = {
    "W1": Workload(name="W1", streams=8),
    "W2": Workload(name="W2", streams=100),
}
_HARNESS_STREAMS = (100, 200, 300)
_ROUNDS = 20
"""Many short ones: a shared machine is a third slower for some seconds and then fast again, so the windows of a round must be
close to one another, and no round must count for much."""

_WARM_UP_S = 10.0
"""Under the heaviest load. In its first seconds a server imports, connects and plans; a cluster needs some more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run. The defaults are what is published."""

    targets: Sequence[str] = ("a", "b", "c")
    workloads: Sequence[Workload] = tuple(WORKLOADS.values())
    rounds: int = _ROUNDS
    idle_s: float = 10.0
    warm_up_s: float = _WARM_UP_S
    harness_streams: Sequence[int] = _HARNESS_STREAMS

    def quick(self) -> "Plan":
        """The same in short: for seeing that everything works, not for publishing."""
        shorter = tuple(replace(workload, warm_up_s=1.0, window_s=2.0) for workload in self.workloads)
        return replace(self, workloads=shorter, rounds=2, idle_s=2.0, warm_up_s=1.0, harness_streams=(100,))


async def compare(plan: Plan) -> Comparison:
    """Starts everything once, measures, stops everything."""
    async with AsyncExitStack() as stack:
        upstream = Simulation()
        await _start(stack, upstream)
        harness = [await _alone(upstream, replace(plan.workloads[-1], streams=count)) for count in plan.harness_streams]
        targets = [TARGETS[name](upstream.base_url) for name in plan.targets]
        for target in targets:
            _say(f"starting {target.name}: {target.title}")
            await _start(stack, target)
        for target in targets:
            _say(f"warming {target.name} up")
            warming = replace(plan.workloads[-1], name="warm-up", window_s=plan.warm_up_s)
            await measure(target, warming, upstream_pid=upstream.pid)
        before = await _idle(plan, targets)
        measured: list[Measured] = []
        for number in range(plan.rounds):
            measured += await _round(plan, _rotated(targets, number), number=number, upstream_pid=upstream.pid)
        after = await _idle(plan, targets)
    return Comparison(
        targets=titles(targets),
        workloads=plan.workloads,
        rounds=plan.rounds,
        measured=measured,
        # The lesser: what is taken off too much would make a server look cheaper than it is.
        idle_cores={name: min(cores, after[name]) for name, cores in before.items()},
        harness=harness,
    )


async def _idle(plan: Plan, targets: Sequence[Target]) -> dict[str, float]:
    idle = {target.name: await idle_cores(target.pids, for_s=plan.idle_s) for target in targets}
    _say("idle burn in cores: " + ", ".join(f"{name} {cores:.3f}" for name, cores in idle.items()))
    return idle


async def _start(stack: AsyncExitStack, target: Target) -> None:
    """Whatever happens from here on, it is stopped, a start that failed half-way included."""
    stack.push_async_callback(target.stop)
    await target.start()


async def _alone(upstream: Simulation, workload: Workload) -> tuple[Workload, Measured]:
    _say(f"client and upstream alone, {workload.streams} streams")
    return workload, await measure(upstream, workload, upstream_pid=upstream.pid)


async def _round(plan: Plan, targets: Sequence[Target], *, number: int, upstream_pid: int) -> list[Measured]:
    measured = []
    for workload in plan.workloads:
        for target in targets:
            one = await measure(target, workload, upstream_pid=upstream_pid)
            measured.append(one)
            errors = f"  errors: {dict(one.found.errors)}" if one.found.errors else ""
            _say(
                f"round {number + 1}/{plan.rounds}  {workload.name}  {target.name}  {one.found.tokens_per_s:7.0f} tokens/s  "
                f"CPU {one.cpu_ms_per_token(idle_cores=0.0):.3f} ms/token (idle included)  "
                f"lag p50 {one.found.lag.p50_ms:.2f} ms{errors}"
            )
    return measured


def _rotated(targets: Sequence[Target], by: int) -> list[Target]:
    start = by % len(targets)
    return [*targets[start:], *targets[:start]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--targets", default="a,b,c", help="which servers, by letter (default: a,b,c)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="which loads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds (default: {_ROUNDS})")
    parser.add_argument("--window-s", type=float, help="how long each window is measured (default: 4)")
    parser.add_argument(
        "--quick", "--profile-run", action="store_true", help="two short rounds; writes nothing unless --out is given"
    )
    parser.add_argument("--out", type=Path, help="folder for performance.md and performance.svg (default: docs)")
    return parser.parse_args(given)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Raises SystemExit with a sentence when a name is unknown."""
    targets, workloads = arguments.targets.split(","), arguments.workloads.split(",")
    if unknown := {*targets} - TARGETS.keys() | {*workloads} - WORKLOADS.keys():
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join((*TARGETS, *WORKLOADS))}")
    plan = Plan(targets=targets, workloads=tuple(WORKLOADS[name] for name in workloads))
    plan = plan.quick() if arguments.quick else plan
    if arguments.rounds is not None:
        plan = replace(plan, rounds=arguments.rounds)
    if arguments.window_s is not None:
        plan = replace(
            plan, workloads=tuple(replace(workload, window_s=arguments.window_s) for workload in plan.workloads)
        )
    return plan


def main(given: Sequence[str] | None = None) -> None:
    arguments = read_arguments(given)
    comparison = asyncio.run(compare(plan_of(arguments)))
    folder = arguments.out or (None if arguments.quick else Path("docs"))
    picture = "performance.svg" if folder is not None else None
    section = markdown(comparison, picture=picture)
    print(section)
    if folder is not None and picture is not None:
        draw(comparison, folder / picture)
        write_section(folder / "performance.md", section)
