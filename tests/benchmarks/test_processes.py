"""Whose CPU time is counted."""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.processes import CpuClocks, machine_cpu_s, marked, tree

CHILD = """
import subprocess, sys, time
while time.process_time() < float(sys.argv[1]): pass
below = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin, env={})
print(below.pid, flush=True)
below.wait()
"""


@asynccontextmanager
async def family(*, busy_s: float = 0.0, mark: str = "none") -> AsyncIterator[tuple[int, int]]:
    """A process and the one below it, which has no environment; gone on exit."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(busy_s), stdin=pipe, stdout=pipe, env={**os.environ, "BENCH_MARK": mark}
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        await process.communicate(b"\n")


async def test_a_tree_is_everything_below_its_roots() -> None:
    """Children of children belong to it, our own process does not, and a root that has gone is nothing."""
    async with family() as (parent, child):
        assert tree([parent]) == {parent, child}
        assert {parent, child} <= tree([os.getpid()])
    assert tree([parent]) == frozenset()


async def test_a_mark_finds_processes_by_environment_and_command_line() -> None:
    """Either is enough, so that a daemon outside the tree is found."""
    mark = uuid.uuid4().hex
    async with family(mark=mark) as (parent, _):
        assert marked(f"BENCH_MARK={mark}") == {parent}
    assert marked(f"BENCH_MARK={mark}") == frozenset()


async def test_the_clock_of_another_process_counts_its_work() -> None:
    """What a child burnt is seen from here; a process that is born in between counts from zero."""
    before = CpuClocks.read([os.getpid()])
    async with family(busy_s=0.05) as (parent, child):
        after = CpuClocks.read([os.getpid(), parent, child])
    assert after.since(before) >= 0.05
    began = time.process_time()
    assert CpuClocks.read([os.getpid()]).seconds[os.getpid()] >= began
    assert CpuClocks.read([parent]).seconds == {}


async def test_the_machines_clock_counts_everybody() -> None:
    """It moves at least by what a child burnt, to the kernel's tick."""
    before_s = machine_cpu_s()
    async with family(busy_s=0.1):
        assert machine_cpu_s() - before_s >= 0.1 - 2 / os.sysconf("SC_CLK_TCK")
