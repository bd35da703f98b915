"""`python -m benchmarks.limits`: several replicas at one bucket, one of them killed or not, and how long a decision takes."""

import argparse
import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from benchmarks.growth import embedded_server
from benchmarks.limits.replica import STAMP_BYTES
from benchmarks.report import machine, write_section
from benchmarks.resilience.figures import percentile_of
from benchmarks.targets import first_line, spawn
from services.storage import migrate
from services.storage.database import Database

REPLICAS = 4
LIMIT, WINDOW_S = 500, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What several replicas gave out of one bucket together."""

    killed: int
    seconds: float
    admitted: int
    shared_us: Sequence[float]

    @property
    def bound(self) -> float:
        """The whole bucket, and what came back meanwhile."""
        return LIMIT + LIMIT / WINDOW_S * self.seconds

    @property
    def over_percent(self) -> float:
        return 100 * (self.admitted / self.bound - 1)


async def measure(url: str, *, seconds: float, tasks: int, replicas: int, kill: bool) -> Round:
    """Have the replicas ask for `seconds`, and kill one of them in the middle if that is wanted."""
    await _forget(url)
    with tempfile.TemporaryDirectory(prefix="mainstay-limits-") as folder:
        admitted = Path(folder, "admitted")
        started = [await _replica(url, admitted, seconds, tasks) for _ in range(replicas)]
        for process in started:
            assert process.stdin is not None  # noqa: S101  asked for
            process.stdin.write(b"\n")
        if kill:
            await asyncio.sleep(seconds / 2)
            started[0].send_signal(signal.SIGKILL)
        took = [await _ended(process) for process in started]
        stamps = await asyncio.to_thread(_stamps_ns, admitted)
        return Round(
            killed=int(kill),
            seconds=(stamps[-1] - stamps[0]) / 1e9,
            admitted=len(stamps),
            shared_us=[each for decisions in took for each in decisions],
        )


def _stamps_ns(file: Path) -> Sequence[int]:
    """When requests were let in, on the machine's monotonic clock."""
    written = file.read_bytes()
    return sorted(int.from_bytes(written[at : at + STAMP_BYTES]) for at in range(0, len(written), STAMP_BYTES))


async def _replica(url: str, admitted: Path, seconds: float, tasks: int) -> Process:
    process = await spawn(
        "benchmarks.limits.replica",
        url,
        str(admitted),
        *("--limit", str(LIMIT), "--window-s", str(WINDOW_S), "--seconds", str(seconds), "--tasks", str(tasks)),
        environment=dict(os.environ),
        input_=PIPE,
    )
    await first_line(process, "replica")
    return process


async def _ended(process: Process) -> Sequence[float]:
    """How long its decisions took, in microseconds; nothing of one that was killed."""
    output, _ = await process.communicate()
    took: Sequence[float] = orjson.loads(output) if output else ()
    return took


async def _forget(url: str) -> None:
    database = Database.open(url, pool_size=1)
    async with database.raw() as connection:
        await connection.execute("TRUNCATE rate_buckets")
    await database.close()


async def run(arguments: argparse.Namespace) -> str:
    with embedded_server() as url:
        await migrate.upgrade(url)
        rounds = [
            await measure(url, seconds=arguments.seconds, tasks=8, replicas=REPLICAS, kill=kill)
            for kill in (False, True)
        ]
        alone = await measure(url, seconds=arguments.seconds, tasks=1, replicas=1, kill=False)
    return report(rounds, alone)


def report(rounds: Sequence[Round], alone: Round) -> str:
    lines = [
        f"{machine()}; {REPLICAS} replicas as processes, 8 callers each, one bucket of {LIMIT} in {WINDOW_S:g} s in Postgres.",
        "",
        "| killed | asked | let in | at most | over |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.killed} | {len(one.shared_us):,} | {one.admitted:,} | {one.bound:,.0f} | {one.over_percent:.2f} % |"
        for one in rounds
    ]
    p50_us, p99_us = (percentile_of(alone.shared_us, percentile) for percentile in (50, 99))
    lines += [
        "",
        f"One caller alone: a decision of the shared store takes {p50_us / 1_000:.2f} ms (p50), {p99_us / 1_000:.2f} ms (p99); "
        "3 ms are allowed.",
    ]
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round (default: %(default)s)")
    parser.add_argument("--dry", action="store_true", help="print only")
    arguments = parser.parse_args(given)
    section = uvloop.run(run(arguments))
    print(section)
    if not arguments.dry:
        write_section(Path("docs/performance.md"), section, name="limits")


if __name__ == "__main__":
    main()
