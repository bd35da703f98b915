"""The pruning goes on whatever the store does."""

import asyncio
import logging
from collections.abc import Mapping

import pytest

from services.errors import StoreUnavailable
from services.runs.prune import prune_forever, summary


class Store:
    """A store that raises `failure` when it is pruned the second time."""

    def __init__(self, failure: Exception) -> None:
        self.pruned = 0
        self.failure = failure

    async def prune(self) -> Mapping[str, int]:
        self.pruned += 1
        if self.pruned == 2:
            raise self.failure
        return {"threads": 2, "usage": 0}


async def pruned(store: Store) -> list[float]:
    """Prune three times and return the pauses between."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await prune_forever(store, every_s=3600.0, sleep=sleep)
    return pauses


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), ValueError("a bug")], ids=["outage", "bug"])
async def test_nothing_that_the_store_raises_ends_the_pruning(failure: Exception) -> None:
    """It prunes at once, then after every pause; an unreachable store, and even a bug, only costs a turn."""
    store = Store(failure)
    assert await pruned(store) == [3600.0, 3600.0, 3600.0]
    assert store.pruned == 3


async def test_a_bug_in_the_pruning_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody awaits the pruning task, so the log is the only place that can tell."""
    bug = ValueError("a bug")
    with caplog.at_level(logging.INFO):
        await pruned(Store(bug))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug
    assert caplog.messages.count("pruned: threads 2") == 2


def test_a_summary_names_what_there_was() -> None:
    """Zeros are not worth a word."""
    assert summary({"run_events": 12_000, "threads": 0, "usage": 1}) == "run_events 12,000, usage 1"
    assert summary({"threads": 0}) == ""
