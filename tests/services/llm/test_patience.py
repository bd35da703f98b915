"""How long a call is waited for: what counts as content, whose time it is, and which limit was passed."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from services.errors import DeadlineExceeded, ModelTimeout
from services.llm.patience import Timers, patience
from services.runs.deadline import Deadline

TIMERS = Timers(first_content_s=0.05, between_content_s=0.05, whole_answer_s=60.0)


@dataclass
class FakeStream:
    pieces: int = 0
    draining: bool = False


async def passed(seconds: float) -> None:
    """Wait on the loop's own timer, which is the clock under test."""
    moment = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, moment.set)
    await moment.wait()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_an_answer_that_never_begins() -> None:
    """The limit to the first content is told as such."""
    with pytest.raises(ModelTimeout, match=r"main: no answer began within 0\.05 s"):
        async with patience("main", TIMERS, FakeStream(), Deadline.after(10.0)):
            await for_ever()


async def test_an_answer_that_stops_in_the_middle() -> None:
    """After the first content, the limit between pieces holds."""
    timers = replace(TIMERS, first_content_s=10.0)
    with pytest.raises(ModelTimeout, match="middle of an answer"):
        async with patience("main", timers, FakeStream(pieces=3), Deadline.after(10.0)):
            await for_ever()


async def test_an_answer_that_never_ends() -> None:
    """Content may come steadily: the whole answer has a limit all the same."""
    stream = FakeStream()

    async def speak_for_ever() -> None:
        while True:
            stream.pieces += 1
            await passed(0.01)

    with pytest.raises(ModelTimeout, match=r"not whole after 0\.1 s"):
        async with patience("main", replace(TIMERS, whole_answer_s=0.1), stream, Deadline.after(10.0)):
            await speak_for_ever()


async def test_content_keeps_a_call_alive() -> None:
    """A call may last longer than any one limit between pieces, as long as content comes."""
    stream = FakeStream()
    timers = replace(TIMERS, first_content_s=0.3, between_content_s=0.3)
    async with patience("main", timers, stream, Deadline.after(10.0)):
        for _ in range(8):
            stream.pieces += 1
            await passed(0.05)


async def test_a_slow_reader_is_not_the_providers_fault() -> None:
    """While the sink drains, the provider's limits stand still; afterwards they run anew."""
    stream = FakeStream(pieces=1)
    drained = asyncio.Event()

    async def drain_and_hang() -> None:
        stream.draining = True
        await passed(0.3)
        stream.draining = False
        drained.set()
        await for_ever()

    with pytest.raises(ModelTimeout, match="middle of an answer"):
        async with patience("main", replace(TIMERS, whole_answer_s=0.15), stream, Deadline.after(10.0)):
            await drain_and_hang()
    assert drained.is_set()


async def test_a_reader_who_takes_a_little_at_a_time_is_slow_all_the_same() -> None:
    """Pieces that trickle through a full buffer do not make the provider's answer too long."""
    stream = FakeStream(draining=True)
    async with patience("main", replace(TIMERS, whole_answer_s=0.1), stream, Deadline.after(10.0)):
        for _ in range(30):
            stream.pieces += 1
            await passed(0.01)


async def test_the_deadline_runs_on_while_the_reader_is_slow() -> None:
    """A reader that never comes back ends with the run's own time limit."""
    with pytest.raises(DeadlineExceeded):
        async with patience("main", TIMERS, FakeStream(draining=True), Deadline.after(0.15)):
            await for_ever()


async def test_time_that_is_already_over_starts_nothing() -> None:
    """A call is not begun after the deadline."""
    with pytest.raises(DeadlineExceeded):
        async with patience("main", TIMERS, FakeStream(), Deadline.after(0.0)):
            raise AssertionError


async def test_slowness_is_told_once_and_only_before_the_first_content() -> None:
    """A call that has been silent for the slow threshold is reported while it still goes on."""
    told: list[str] = []
    timers = replace(TIMERS, first_content_s=0.3)
    silent, speaking = FakeStream(), FakeStream(pieces=1)
    with pytest.raises(ModelTimeout, match="no answer began"):
        async with patience(
            "a", timers, silent, Deadline.after(10.0), slow_after_s=0.02, on_slow=lambda: told.append("silent")
        ):
            await for_ever()
    async with patience(
        "b", timers, speaking, Deadline.after(10.0), slow_after_s=0.01, on_slow=lambda: told.append("speaking")
    ):
        await passed(0.03)
    assert told == ["silent"]
