"""A run that has ended is gone at once: what holds itself waits for a garbage collection, which stops every stream."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.errors import MainstayError
from services.events import EventBatch
from services.guardrails.screen.output import OutputScreen
from services.guardrails.semantic.tier import Mode
from services.runs.deadline import TimeLimit
from services.runs.live_run import LiveRun
from services.types import Run
from tests.garbage import left_over
from tests.services.guardrails.semantic.fakes import FakeCheck
from tests.services.runs.engine_world import World, answer
from tests.services.runs.fakes import a_run
from tests.services.runs.ingress_world import DONE, STARTED, read
from tests.services.runs.test_engine_semantic import a_world


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


@pytest.mark.parametrize("mode", Mode)
async def test_a_run_whose_sentences_are_judged_leaves_nothing_behind(mode: Mode) -> None:
    world = a_world(FakeCheck(), mode, "The first sentence is a harmless one.", " And here is a second sentence.")
    with left_over() as garbage:
        await world.events()
    assert garbage == []


async def test_a_run_that_asks_a_model_leaves_nothing_behind() -> None:
    world = a_world(FakeCheck(), Mode.SYNC, "Hello.")
    world.engine._screen = OutputScreen()
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
