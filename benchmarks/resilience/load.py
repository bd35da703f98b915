"""One stretch of load, with who used the processors meanwhile."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from benchmarks.arrivals import Arrivals, OpenLoad, Reply
from benchmarks.open_loop import run_open_loop
from benchmarks.processes import CpuClocks, machine_cpu_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Processors in use, on average over the load: by Mainstay, by its providers and this program, by the client, by others."""

    mainstay: float
    providers: float
    client: float
    others: float

    @property
    def all(self) -> float:
        return self.mainstay + self.providers + self.client + self.others


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of it."""

    replies: Sequence[Reply]
    begin_us: int
    """What the schedule is counted from, on the machine's monotonic clock."""
    cores: Cores


async def put(
    arrivals: Sequence[Arrivals],
    *,
    give_up_s: float,
    pids: Callable[[], Collection[int]],
    meanwhile: Callable[[int], Awaitable[None]] | None = None,
) -> Loaded:
    """Send what is due and wait for the replies. `pids` are Mainstay's processes; `meanwhile` is told when it began."""
    started: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    clocks: list[_Clocks] = []

    def began(client_pid: int, begin_us: int) -> None:
        clocks.append(_Clocks.read(pids(), client_pid))
        started.set_result((client_pid, begin_us))

    async def aside() -> int:
        client_pid, begin_us = await started
        if meanwhile is not None:
            await meanwhile(begin_us)
        last_s = max(one.begins_s + one.count / one.per_s for one in arrivals)
        await asyncio.sleep(begin_us / 1e6 + last_s - time.monotonic())
        clocks.append(_Clocks.read(pids(), client_pid))
        return begin_us

    running = run_open_loop(OpenLoad(arrivals=arrivals, give_up_s=give_up_s), began=began)
    replies, begin_us = await asyncio.gather(running, aside())
    return Loaded(replies=replies, begin_us=begin_us, cores=clocks[1].since(clocks[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clocks:
    at_s: float
    machine_s: float
    mainstay: CpuClocks
    providers: CpuClocks
    client: CpuClocks

    @classmethod
    def read(cls, mainstay: Collection[int], client_pid: int) -> "_Clocks":
        return cls(
            at_s=time.monotonic(),
            machine_s=machine_cpu_s(),
            mainstay=CpuClocks.read(mainstay),
            providers=CpuClocks.read([os.getpid()]),
            client=CpuClocks.read([client_pid]),
        )

    def since(self, before: "_Clocks") -> Cores:
        elapsed_s = self.at_s - before.at_s
        own = [
            self.mainstay.since(before.mainstay) / elapsed_s,
            self.providers.since(before.providers) / elapsed_s,
            self.client.since(before.client) / elapsed_s,
        ]
        everyone = (self.machine_s - before.machine_s) / elapsed_s
        return Cores(mainstay=own[0], providers=own[1], client=own[2], others=max(0.0, everyone - sum(own)))
