"""A run that has ended is gone at once: what holds itself waits for a garbage collection, which stops every stream."""

import asyncio
from collections.abc import AsyncIterator

from services.errors import MainstayError
from services.events import EventBatch
from services.runs.deadline import TimeLimit
from services.runs.live_run import LiveRun
from services.types import Run
from tests.garbage import left_over
from tests.services.runs.engine_world import World, answer
from tests.services.runs.fakes import a_run
from tests.services.runs.ingress_world import DONE, STARTED, read


class NobodyIsTold:
    """Implements `Endings` for a run that ends by itself."""

    def hang_up(self, run: Run) -> None:
        raise AssertionError

    def run_out(self, run: Run, error: MainstayError, said: str) -> "asyncio.Task[None]":
        raise AssertionError


async def test_a_run_leaves_nothing_behind_in_its_agent() -> None:
    world = World(answer)
    with left_over() as garbage:
        await world.events()
    assert garbage == []


async def test_a_run_leaves_nothing_behind_at_the_ingress() -> None:
    async def batches() -> AsyncIterator[EventBatch]:
        yield STARTED
        yield DONE

    endings = NobodyIsTold()
    with left_over() as garbage:
        live = LiveRun(run=a_run(), limit=TimeLimit(60.0), endings=endings)
        live.go_on_with(batches())
        await read(live)
        await live.aclose()
        del live
    assert garbage == []
