"""One measurement: a load on one server, with the CPU clocks of every process read at the edges of the client's window."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.load import NONCE, Found, Load
from benchmarks.processes import CpuClocks
from benchmarks.targets import Target
from benchmarks.upstream import Directive


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the streams ask for, and how long it is measured."""

    name: str
    streams: int
    tokens: int = 64
    first_token_s: float = 0.2
    token_s: float = 0.02
    warm_up_s: float = 2.0
    window_s: float = 4.0

    @property
    def offered_tokens_per_s(self) -> float:
        """What the upstream would deliver if nothing were added."""
        return self.streams * self.tokens / (self.first_token_s + (self.tokens - 1) * self.token_s)

    def content(self) -> str:
        directive = Directive(tokens=self.tokens, first_token_s=self.first_token_s, token_s=self.token_s, stamp=True)
        return f"Tell me tale number {NONCE}. {directive.in_message()}"

    def load_on(self, target: Target) -> Load:
        return Load(
            url=target.url,
            headers=target.headers,
            body=target.body(self.content()),
            streams=self.streams,
            tokens=self.tokens,
            warm_up_s=self.warm_up_s,
            window_s=self.window_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One window of one server under one workload."""

    target: str
    workload: str
    found: Found
    server_cpu_s: float
    """Of every process of the server, as used; what it burns idle is not yet taken off."""
    upstream_cpu_s: float

    def cpu_ms_per_token(self, *, idle_cores: float) -> float:
        """NaN when no token came."""
        busy_s = self.server_cpu_s - idle_cores * self.found.elapsed_s
        return 1000 * busy_s / self.found.tokens if self.found.tokens else float("nan")


async def measure(target: Target, workload: Workload, *, upstream_pid: int) -> Measured:
    """Runs the load client once."""
    servers: list[CpuClocks] = []
    upstreams: list[CpuClocks] = []

    def at_edge() -> None:
        servers.append(CpuClocks.read(target.pids()))
        upstreams.append(CpuClocks.read([upstream_pid]))

    found = await run_client(workload.load_on(target), at_edge=at_edge)
    return Measured(
        target=target.name,
        workload=workload.name,
        found=found,
        server_cpu_s=servers[1].since(servers[0]),
        upstream_cpu_s=upstreams[1].since(upstreams[0]),
    )


async def run_client(load: Load, *, at_edge: Callable[[], None]) -> Found:
    """The load client as a process; `at_edge` is called when its window opens and when it closes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.client", stdin=PIPE, stdout=PIPE, env=dict(os.environ)
    )
    assert process.stdin is not None  # noqa: S101  both were asked for
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(load.to_json())
    process.stdin.close()
    for edge in (b"begin\n", b"end\n"):
        line = await process.stdout.readline()
        if line != edge:
            raise RuntimeError(f"the load client said {line!r} instead of {edge!r}")
        at_edge()
    found = Found.from_json(await process.stdout.read())
    await process.wait()
    return found


async def idle_cores(pids: Callable[[], Iterable[int]], *, for_s: float) -> float:
    """CPU seconds per second of a server that has nothing to do."""
    before, began_s = CpuClocks.read(pids()), time.monotonic()
    await asyncio.sleep(for_s)
    return CpuClocks.read(pids()).since(before) / (time.monotonic() - began_s)
