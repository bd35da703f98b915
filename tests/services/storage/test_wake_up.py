"""Wake-ups from a real Postgres: heard at once, and again after every way to lose the connection."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from services.errors import ConfigurationError
from services.storage.wake_up import CHANNEL, MISSED, listen_forever
from tests.services.runs.manual_time import ManualTime

NAME = "mainstay-listener"
PID = "SELECT pid FROM pg_stat_activity WHERE application_name = $1"


@dataclass
class Listener:
    """What was heard; pauses between two attempts to connect end when a test says so, or at once."""

    url: str
    time: ManualTime = field(default_factory=ManualTime)
    heard: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    pauses: list[float] = field(default_factory=list)
    held: asyncio.Event | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        await listen_forever(
            self.url,
            self.heard.put_nowait,
            application_name=NAME,
            check_every_s=15.0,
            answer_within_s=1.0,
            sleep=self.sleep,
            call_later=self.time.call_later,
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.tried.set()
        await asyncio.sleep(0)
        if self.held:
            await self.held.wait()

    async def next(self) -> str:
        async with asyncio.timeout(20.0):
            return await self.heard.get()


@pytest.fixture
async def server(fresh_database_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(fresh_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def listener(fresh_database_url: str) -> AsyncIterator[Listener]:
    """A listener that is connected."""
    listener = Listener(fresh_database_url)
    listening = asyncio.create_task(listener.listen())
    assert await listener.next() == MISSED
    yield listener
    listening.cancel()
    await asyncio.wait([listening])


@pytest.mark.postgres
async def test_what_is_said_on_the_channel_is_heard(
    listener: Listener, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Each word once, in order; what is said elsewhere is nobody's business here."""
    await server.execute("SELECT pg_notify('another', 'x')")
    for word in ("cancel", "queued"):
        await server.execute("SELECT pg_notify($1, $2)", CHANNEL, word)
    assert [await listener.next(), await listener.next()] == ["cancel", "queued"]
    assert listener.heard.empty()


async def terminated(server: "asyncpg.Connection[asyncpg.Record]") -> int:
    return await server.fetchval(  # type: ignore[no-any-return]
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1", NAME
    )


@pytest.mark.postgres
async def test_a_connection_that_is_lost_is_made_again(
    listener: Listener, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """As often as it takes; after each the callback hears that it may have missed something, and then what is said."""
    for _ in range(3):
        assert await terminated(server) == 1
        assert await listener.next() == MISSED
        await server.execute("SELECT pg_notify($1, 'queued')", CHANNEL)
        assert await listener.next() == "queued"
    assert listener.pauses == [0.25] * 3


@pytest.mark.postgres
async def test_a_server_that_takes_nobody_is_tried_ever_more_rarely(
    listener: Listener,
    server: "asyncpg.Connection[asyncpg.Record]",
    postgres_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And as soon as it takes connections again it is as if nothing had been."""
    name = await server.fetchval("SELECT current_database()")
    assert isinstance(name, str)
    elsewhere = await asyncpg.connect(postgres_url)
    await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await terminated(server)
    await _until(listener, lambda: len(listener.pauses) >= 8)
    assert listener.pauses[:7] == [0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert listener.heard.empty()
    assert any(record.levelno == logging.WARNING for record in caplog.records)
    await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await elsewhere.close()
    assert await listener.next() == MISSED
    listener.pauses.clear()
    await terminated(server)
    assert await listener.next() == MISSED
    assert listener.pauses == [0.25]


@pytest.mark.postgres
async def test_a_connection_that_died_in_silence_is_found_out(
    listener: Listener, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """It is asked something from time to time: one that answers is kept, one that does not is made again."""
    first = await server.fetchval(PID, NAME)
    asked = "SELECT query = 'SELECT 1' AND state = 'idle' FROM pg_stat_activity WHERE pid = $1"
    await _let_time_pass(listener)
    async with asyncio.timeout(20.0):
        while not await server.fetchval(asked, first):
            continue
    assert (await server.fetchval(PID, NAME), listener.pauses) == (first, [])
    os.kill(first, signal.SIGSTOP)
    try:
        await _let_time_pass(listener)
        assert await listener.next() == MISSED
    finally:
        os.kill(first, signal.SIGCONT)
    await server.execute("SELECT pg_notify($1, 'queued')", CHANNEL)
    assert await listener.next() == "queued"


async def _let_time_pass(listener: Listener) -> None:
    async with asyncio.timeout(20.0):
        while not listener.time.pending:  # noqa: ASYNC110  # turns of the loop until it waits again
            await asyncio.sleep(0)
    listener.time.advance(15.0)


@pytest.mark.postgres
async def test_a_listener_that_is_cancelled_leaves_nothing_behind(
    fresh_database_url: str, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A replica that stops closes its connection."""
    listener = Listener(fresh_database_url)
    listening = asyncio.create_task(listener.listen())
    await listener.next()
    listening.cancel()
    await asyncio.wait([listening])
    async with asyncio.timeout(20.0):
        while await server.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", NAME):
            continue
    assert listener.time.pending == 0


async def test_what_is_no_postgres_url_is_refused() -> None:
    """Trying again would not help."""
    with pytest.raises(ConfigurationError):
        await Listener("mysql://here").listen()


async def _until(listener: Listener, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not condition():
            listener.tried.clear()
            await listener.tried.wait()
