"""One replica that takes what it can from one bucket: a process of its own, which may be killed at any moment.

It writes down when each request was let in, so that none is forgotten when it is killed, and prints how long its decisions took
when it is not.
"""

import argparse
import asyncio
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
import uvloop

from services.errors import RateLimitExceeded
from services.limits.limiter import Limiter, LimiterPolicy
from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.quota import Quota
from services.storage.database import Database
from services.storage.quotas import QuotaRepository
from services.telemetry.metrics import UNMEASURED
from services.types import Principal

STAMP_BYTES = 8
CALLER = Principal(tenant_id="bench", user_id="one")


@dataclass
class Decisions:
    """Microseconds, of decisions in the shared store."""

    shared_us: list[float] = field(default_factory=list)


async def take(limiter: Limiter, until_s: float, admitted: int, decisions: Decisions) -> None:
    """Ask again and again, whatever the answer. `admitted` is a file."""
    while time.monotonic() < until_s:
        began = time.perf_counter_ns()
        with suppress(RateLimitExceeded):
            await limiter.take_request(CALLER, RouteClass.READS)
            os.write(admitted, time.monotonic_ns().to_bytes(STAMP_BYTES))
        decisions.shared_us.append((time.perf_counter_ns() - began) / 1_000)


async def run(arguments: argparse.Namespace) -> None:
    database = Database.open(arguments.url, pool_size=arguments.tasks, statement_timeout_s=1.0, replans=False)
    quota = Quota(limit=arguments.limit, window_s=arguments.window_s)
    limiter = Limiter(
        store=QuotaRepository(database),
        plans=Plans(default=Plan(user=Allowance(requests={RouteClass.READS: quota}))),
        policy=LimiterPolicy(),
        clock=time.monotonic,
        meter=UNMEASURED,
    )
    admitted = os.open(arguments.admitted, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    await database.ping()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    decisions = Decisions()
    until_s = time.monotonic() + arguments.seconds
    await asyncio.gather(*(take(limiter, until_s, admitted, decisions) for _ in range(arguments.tasks)))
    print(orjson.dumps(decisions.shared_us).decode(), flush=True)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("admitted", help="the file that gets the times")
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--window-s", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tasks", type=int, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
