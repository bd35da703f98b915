"""The sweep goes on whatever the store does."""

import asyncio
import logging

import pytest

from services.errors import StoreUnavailable
from services.runs.sweep import sweep_forever


class Store:
    """A store that raises `failure` at its second sweep."""

    def __init__(self, failure: Exception) -> None:
        self.sweeps: list[tuple[float, float]] = []
        self.failure = failure

    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        self.sweeps.append((overdue_s, queue_ttl_s))
        if len(self.sweeps) == 2:
            raise self.failure
        return 1


async def swept(store: Store) -> list[float]:
    """Sweep three times and return the pauses between."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await sweep_forever(store, overdue_s=60.0, queue_ttl_s=3600.0, every_s=30.0, sleep=sleep)
    return pauses


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), ValueError("a bug")], ids=["outage", "bug"])
async def test_nothing_that_the_store_raises_ends_the_sweep(failure: Exception) -> None:
    """It sweeps at once, then after every pause; an unreachable store, and even a bug, only costs a turn."""
    store = Store(failure)
    assert await swept(store) == [30.0] * 3
    assert store.sweeps == [(60.0, 3600.0)] * 3


async def test_a_bug_in_the_sweep_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits the sweeping task, so the log is the only place that can tell."""
    bug = ValueError("a bug")
    await swept(Store(bug))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug
