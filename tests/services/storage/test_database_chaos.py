"""Postgres is really killed under load and started again: the replica's pool heals by itself."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deployments.launch.errors import LaunchFailed
from deployments.launch.postgres import EmbeddedPostgres, running_server
from services.errors import StoreUnavailable
from services.storage import migrate
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from services.storage.owned_runs import OwnedRunRepository
from services.storage.runs import RunRepository
from services.storage.threads import ThreadRepository
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, a_run

pytestmark = [pytest.mark.postgres, pytest.mark.chaos]

WORKERS = 16
FAIL_FAST_S = 4.0  # the pool's wait of 1 s and a connect of 2 s, on a busy machine


@dataclass(kw_only=True)
class Server:
    """A Postgres of this test's own, handled by one thread: the kernel stops the server when that thread ends."""

    postgres: EmbeddedPostgres
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    async def start(self) -> str:
        return await asyncio.get_running_loop().run_in_executor(self.thread, self._start)

    async def kill(self, number: signal.Signals) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self._kill, number)

    def _start(self) -> str:
        for _ in range(50):
            try:
                return self.postgres.start()
            except LaunchFailed:  # a killed server's children still hold its shared memory
                continue
        return self.postgres.start()

    def _kill(self, number: signal.Signals) -> None:
        running = running_server(self.postgres.data_dir)
        assert running is not None
        children = psutil.Process(running[0]).children()
        psutil.Process(running[0]).send_signal(number)
        self.postgres.stop()  # reaps what is dead already
        psutil.wait_procs(children, timeout=20)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.postgres.stop)
        self.thread.shutdown()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that no other test uses, with its data in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mainstay-chaos-") as folder:
        os.chmod(folder, 0o711)
        own = Server(postgres=EmbeddedPostgres(data_dir=Path(folder) / "data"))
        try:
            yield own
        finally:
            await own.close()


@dataclass(kw_only=True)
class Load:
    """Workers that run whole turns without a pause and note how each one went."""

    runs: RunRepository
    owned: OwnedRunRepository
    threads: ThreadRepository
    saver: AsyncpgSaver
    succeeded: list[int] = field(default_factory=lambda: [0] * WORKERS)
    refused: int = 0
    unexpected: list[BaseException] = field(default_factory=list)
    slowest_s: float = 0.0
    stopping: bool = False
    _turned: asyncio.Event = field(default_factory=asyncio.Event)

    async def turn(self) -> None:
        run = a_run()
        await self.runs.create(run)
        claim = await self.owned.claim(run.id, LEASE)
        await self.saver.aget_tuple({"configurable": {"thread_id": str(run.thread_id)}})
        await self.owned.finish(claim, ANSWERED, [])
        assert (await self.threads.get(ALICE, run.thread_id)).id == run.thread_id

    async def work(self, worker: int) -> None:
        while not self.stopping:
            started = time.monotonic()
            try:
                await self.turn()
            except StoreUnavailable:
                self.refused += 1
            except Exception as error:  # noqa: BLE001  # this is the question: which ones come out?
                self.unexpected.append(error)
                self._turned.set()
                return
            else:
                self.succeeded[worker] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self._turned.set()
            await asyncio.sleep(0)  # a refusal may need no waiting at all; the others must have their turn

    async def every_worker_succeeds(self, times: int = 1) -> None:
        goal = [count + times for count in self.succeeded]
        await self._until(lambda: all(now >= then for now, then in zip(self.succeeded, goal, strict=True)))

    async def workers_are_refused(self) -> None:
        goal = self.refused + WORKERS
        await self._until(lambda: self.refused >= goal)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition() and not self.unexpected:
                self._turned.clear()
                await self._turned.wait()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill"])
@pytest.mark.timeout(180)
async def test_the_pool_heals_after_postgres_was_killed_under_load(server: Server, number: signal.Signals) -> None:
    """Killed twice under load: callers see StoreUnavailable only, quickly, and then the same pool works for all of them."""
    url = await server.start()
    await migrate.upgrade(url)
    database = Database.open(url, pool_size=4, pool_timeout_s=1.0, command_timeout_s=5.0)
    load = Load(
        runs=RunRepository(database),
        owned=OwnedRunRepository(database),
        threads=ThreadRepository(database),
        saver=AsyncpgSaver(database),
    )
    workers = [asyncio.create_task(load.work(n)) for n in range(WORKERS)]
    for _ in range(2):
        await load.every_worker_succeeds()
        await server.kill(number)
        await load.workers_are_refused()
        await server.start()
    await load.every_worker_succeeds(times=3)
    load.stopping = True
    await asyncio.gather(*workers)
    assert load.unexpected == []
    assert load.slowest_s < FAIL_FAST_S
    await database.ping()
    await database.close()


async def test_without_a_server_everything_is_refused_at_once(server: Server) -> None:
    """Nothing listens: a hundred callers of a pool of four are refused within the second, and none waits for another."""
    url = await server.start()
    await migrate.upgrade(url)
    database = Database.open(url, pool_size=4, pool_timeout_s=5.0)
    await database.ping()
    await server.kill(signal.SIGQUIT)
    started = time.monotonic()
    results = await asyncio.gather(*(database.ping() for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    assert time.monotonic() - started < 2.0
    await database.close()
