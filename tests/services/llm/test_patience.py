"""How long a call is waited for when it is the reader who is slow."""

import asyncio
from dataclasses import replace

import pytest

from services.errors import DeadlineExceeded, ModelTimeout
from services.llm.patience import patience
from services.llm.types import ProviderSpec
from services.runs.deadline import Deadline
from tests.services.llm.fakes import KeptSink

SPEC = ProviderSpec(name="main", model="m", first_token_timeout_s=0.05, inter_token_timeout_s=0.05)


def after(seconds: float, done: asyncio.Event) -> None:
    asyncio.get_running_loop().call_later(seconds, done.set)


async def test_a_slow_reader_is_not_the_providers_fault() -> None:
    """While the sink drains, the limit between pieces stands still; afterwards it runs anew."""
    room, drained = asyncio.Event(), asyncio.Event()

    async def stream() -> None:
        async with patience(SPEC, Deadline.after(10.0)) as pace:
            pace.progressed = True
            after(0.2, room)
            await pace.drained(KeptSink(room=room))
            drained.set()
            await asyncio.Event().wait()

    with pytest.raises(ModelTimeout, match="middle of an answer"):
        await stream()
    assert drained.is_set()


async def test_the_deadline_runs_on_while_the_reader_is_slow() -> None:
    """A reader that never comes back ends with the run's own time limit."""

    async def stream() -> None:
        async with patience(SPEC, Deadline.after(0.15)) as pace:
            pace.progressed = True
            await pace.drained(KeptSink(room=asyncio.Event()))

    with pytest.raises(DeadlineExceeded):
        await stream()


async def test_time_that_is_already_over_starts_nothing() -> None:
    """A call is not begun after the deadline."""
    with pytest.raises(DeadlineExceeded):
        async with patience(SPEC, Deadline.after(0.0)):
            raise AssertionError


async def test_content_keeps_a_call_alive() -> None:
    """A call may last longer than any one limit, as long as content comes."""
    spec = replace(SPEC, inter_token_timeout_s=0.3)
    async with patience(spec, Deadline.after(10.0)) as pace:
        for _ in range(8):
            pace.progressed = True
            moment = asyncio.Event()
            after(0.05, moment)
            await moment.wait()
