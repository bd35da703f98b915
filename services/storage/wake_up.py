"""Word from Postgres that there is something to do, as it is given: LISTEN, on a connection of its own.

Whoever is woken also looks from time to time by itself, so a word that is lost costs a second or two, and nothing else. A
connection pooler that hands connections from one transaction to the next (PgBouncer's transaction mode) passes none on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import asyncpg

from services.errors import StoreUnavailable
from services.runs.buffer import Timer, call_later
from services.storage.database import connect_to, normalise, translated

logger = logging.getLogger(__name__)

CHANNEL = "mainstay_agents"
MISSED = ""
"""What the callback is told after each connect: anything may have been said before."""
_RETRY_S = (0.25, 0.5, 1.0, 2.0, 5.0)


async def listen_forever(
    url: str,
    on_wake: Callable[[str], None],
    *,
    application_name: str = "mainstay",
    check_every_s: float = 15.0,
    answer_within_s: float = 5.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
) -> NoReturn:
    """Call `on_wake` with what is said on CHANNEL, and with MISSED after each connect; connect again whenever that is lost.

    A connection that has died without a word is found out by a question every `check_every_s`, which is to be answered within
    `answer_within_s`. Raises ConfigurationError for what is not a Postgres URL.
    """
    dsn = normalise(url)
    failed = 0

    def connected() -> None:
        nonlocal failed
        failed = 0
        on_wake(MISSED)

    while True:
        try:
            with translated():
                connection = await connect_to(dsn, command_timeout_s=answer_within_s, application_name=application_name)
                try:
                    await _listen(connection, on_wake, connected, check_every_s, call_later)
                finally:
                    connection.terminate()
        except (StoreUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.warning(
                "no wake-up from the database comes through for now: %s", type(error.__cause__ or error).__name__
            )
        await sleep(_RETRY_S[min(failed, len(_RETRY_S) - 1)])
        failed += 1


async def _listen(
    connection: "asyncpg.Connection[Any]",
    on_wake: Callable[[str], None],
    connected: Callable[[], None],
    check_every_s: float,
    call_later: Callable[[float, Callable[[], None]], Timer],
) -> None:
    """Listen until the connection is lost."""
    due, lost = asyncio.Event(), False

    def on_lost(_: object) -> None:
        nonlocal lost
        lost = True
        due.set()

    def on_news(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        on_wake(str(payload))

    connection.add_termination_listener(on_lost)
    await connection.add_listener(CHANNEL, on_news)
    connected()
    while not lost:
        due.clear()
        timer = call_later(check_every_s, due.set)
        try:
            await due.wait()
        finally:
            timer.cancel()
        if not lost:
            await connection.fetchval("SELECT 1")
