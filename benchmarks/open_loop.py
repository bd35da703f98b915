"""The load client in open loop, in a process of its own. `python -m benchmarks.open_loop` reads an OpenLoad as JSON on
stdin, prints the moment that its schedule is counted from, and, when all is over, its replies as JSON."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from urllib.parse import urlsplit

import uvloop

from benchmarks import stamps
from benchmarks.arrivals import UNANSWERED, Arrivals, OpenLoad, Reply, due_us, from_json, to_json
from benchmarks.client import Connection, connect, post
from benchmarks.heard import Heard, error_of
from benchmarks.load import NONCE
from benchmarks.sse import StampReader

_LEAD_S = 0.2  # until the first request: time to make the tasks
_STALL_S = 60.0
_PIPE_LIMIT = 64 * 1_048_576


class OpenLoopClient:
    """Runs one OpenLoad. Connections are kept and used again; a request that finds none idle makes one."""

    def __init__(self, load: OpenLoad) -> None:
        self._load = load
        self._idle: dict[str, list[Connection]] = {}

    async def run(self, began: Callable[[int], None]) -> list[Reply]:
        """`began` is told the moment that the schedule is counted from, before the first request."""
        loop, load = asyncio.get_running_loop(), self._load
        begin_us = stamps.now_us() + round(1e6 * _LEAD_S)
        tasks: dict[asyncio.Task[Reply], tuple[Arrivals, int]] = {}
        for arrivals in load.arrivals:
            for number in range(arrivals.count):
                due = due_us(arrivals, number, begin_us=begin_us)
                tasks[loop.create_task(self._ask(arrivals, number, due))] = (arrivals, due)
        began(begin_us)
        last_us = max(due for _, due in tasks.values())
        await asyncio.wait(tasks, timeout=(last_us - stamps.now_us()) / 1e6 + load.give_up_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        replies = [_reply(task, *asked) for task, asked in tasks.items()]
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        return replies

    async def _ask(self, arrivals: Arrivals, number: int, due: int) -> Reply:
        await asyncio.sleep(max(0, due - stamps.now_us()) / 1e6)
        sent_us = stamps.now_us()
        try:
            heard = await self._hear(arrivals, number)
        except OSError as refused:
            heard = Heard(sent_us=sent_us, broken=type(refused).__name__)
        return read(arrivals, heard, due=due, sent_us=sent_us)

    async def _hear(self, arrivals: Arrivals, number: int) -> Heard:
        address = urlsplit(arrivals.url)
        body = arrivals.body.replace(NONCE, f"{arrivals.name} {number}").encode()
        idle = self._idle.setdefault(address.netloc, [])
        while idle and not idle[-1].usable:
            idle.pop()
        connection = idle.pop() if idle else await connect(address)
        try:
            heard = await connection.ask(post(address, arrivals.headers, body), stall_s=_STALL_S)
        except asyncio.CancelledError:
            connection.close()
            raise
        idle.append(connection)
        return heard


def read(arrivals: Arrivals, heard: Heard, *, due: int, sent_us: int) -> Reply:
    """What the bytes of a reply say."""
    reader = StampReader()
    first_us = None
    for read_us, data in heard.pieces:
        if reader.feed(data) and first_us is None:
            first_us = read_us
    error = error_of(heard, reader, arrivals.tokens)
    return Reply(name=arrivals.name, due_us=due, sent_us=sent_us, first_us=first_us, error=error)


def _reply(task: "asyncio.Task[Reply]", arrivals: Arrivals, due: int) -> Reply:
    if task.cancelled():
        return Reply(name=arrivals.name, due_us=due, sent_us=due, first_us=None, error=UNANSWERED)
    return task.result()


async def run_open_loop(load: OpenLoad, *, began: Callable[[int, int], None]) -> list[Reply]:
    """The client as a process; `began` is told its process and the moment that its schedule is counted from."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.open_loop", stdin=PIPE, stdout=PIPE, env=dict(os.environ), limit=_PIPE_LIMIT
    )
    assert process.stdin is not None  # noqa: S101  both were asked for
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(load.to_json())
    process.stdin.close()
    began(process.pid, int(await process.stdout.readline()))
    replies = from_json(await process.stdout.read())
    await process.wait()
    return replies


def main() -> None:
    load = OpenLoad.from_json(sys.stdin.buffer.read())
    replies = uvloop.run(OpenLoopClient(load).run(lambda begin_us: print(begin_us, flush=True)))
    print(to_json(replies).decode(), flush=True)


if __name__ == "__main__":
    main()
