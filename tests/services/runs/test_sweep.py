"""The sweep goes on whatever the store does."""

import asyncio

import pytest

from services.errors import StoreUnavailable
from services.runs.sweep import sweep_forever


class Store:
    """A store that is away at its second sweep."""

    def __init__(self) -> None:
        self.sweeps: list[float] = []

    async def sweep(self, *, older_than_s: float) -> int:
        self.sweeps.append(older_than_s)
        if len(self.sweeps) == 2:
            raise StoreUnavailable("down")
        return 1


async def test_an_outage_of_the_store_does_not_end_the_sweep() -> None:
    """It sweeps at once, then after every pause, and an unreachable store only costs a turn."""
    store, pauses = Store(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await sweep_forever(store, older_than_s=660.0, every_s=60.0, sleep=sleep)
    assert store.sweeps == [660.0, 660.0, 660.0]
    assert pauses == [60.0, 60.0, 60.0]
