"""Whatever happens to a run's reader, its store and its owner, its log has every event once and in order."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.errors import MainstayError
from services.events import EventBatch, RunCompleted, RunEvent, RunFailed, TextDelta, ToolFinished
from services.runs.types import GraphResult, RunContext
from services.types import EventId, Message, OnDisconnect
from tests.services.runs.engine_world import World, say
from tests.services.runs.fakes import a_run
from tests.services.runs.turns import some_turns

OPS = ("say", "act", "read", "pass a little", "pass a while", "leave", "hold", "release", "go away", "come back")
LOSSES = (*OPS, "take over")


class Story:
    """A run that says and does what it is told to, its reader, and its store."""

    def __init__(self) -> None:
        self.world = World(self.script, run=a_run(on_disconnect=OnDisconnect.CONTINUE), record_tries=1)
        self.commands: asyncio.Queue[Callable[[RunContext], None] | None] = asyncio.Queue()
        self.said: list[str] = []
        self.shown: list[tuple[EventId, RunEvent]] = []
        self.batches = self.world.engine.execute
        self.reader: Any = None
        self.reading: asyncio.Task[EventBatch] | None = None
        self.lost = False

    async def script(self, context: RunContext) -> GraphResult:
        while (command := await self.commands.get()) is not None:
            command(context)
        return GraphResult(messages=(Message(role="assistant", content="done"),))

    async def begins(self) -> None:
        self.reader = self.world.batches()
        self.stream = await self.reader.__aenter__()
        await self.do("read")

    async def do(self, op: str) -> None:
        world, runs = self.world, self.world.runs
        match op:
            case "say":
                self.said.append(f"word{len(self.said)} ")
                self.commands.put_nowait(lambda context, words=self.said[-1]: say(context, words))  # type: ignore[misc]
            case "act":
                self.said.append(f"tool{len(self.said)} ")
                event = ToolFinished(call_id=self.said[-1], name="t", ok=True, result="", duration_s=0.0)
                self.commands.put_nowait(lambda context: context.events.emit(event))
            case "read" if self.stream is not None and self.reading is None:
                self.reading = asyncio.ensure_future(anext(self.stream))
            case "pass a little":
                world.time.advance(0.06)
            case "pass a while":
                world.time.advance(1.1)
            case "leave":
                await self.leave()
            case "hold" if runs.hold is None:
                runs.hold = asyncio.Event()
            case "release" if runs.hold is not None:
                runs.hold.set()
                runs.hold = None
            case "go away":
                runs.away = True
            case "come back":
                runs.away = False
            case "take over":
                self.lost = True
                runs.take_over(world.run.id)
        await some_turns()
        self.look()

    def look(self) -> None:
        """See what the reader has been shown, and that the store had what it has to have first."""
        if self.reading is None or not self.reading.done():
            return
        reading, self.reading = self.reading, None
        if reading.cancelled():
            return
        if isinstance(reading.exception(), MainstayError | StopAsyncIteration):
            self.stream = None
            return
        batch = reading.result()
        stored = {event_id for event_id, _ in self.world.runs.log(self.world.run.id)}
        for seq, event in enumerate(batch.events, batch.first_seq):
            event_id = EventId(attempt=batch.attempt, seq=seq)
            self.shown.append((event_id, event))
            if isinstance(event, ToolFinished):
                assert event_id in stored or self.world.engine._log._silent

    async def leave(self) -> None:
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.wait([self.reading])
            self.look()
        self.stream = None
        await self.reader.__aexit__(None, None, None)

    async def ends(self, *, unsaved: bool) -> None:
        """Let the run end, the store be there, before or after that, and the reader see all of it."""
        await self.do("go away" if unsaved else "come back")
        await self.do("release")
        self.commands.put_nowait(None)
        await some_turns()
        await self.do("come back")
        for _ in range(200):
            await self.do("read")
            self.world.time.advance(0.3)
            await some_turns(5)
            if not self.world.engine.held and self.stream is None:
                break
        await self.leave()


async def told(ops: Sequence[str], *, unsaved: bool = False) -> Story:
    story = Story()
    await story.begins()
    for op in ops:
        await story.do(op)
    await story.ends(unsaved=unsaved)
    assert not story.world.engine.active
    return story


def words(events: Sequence[RunEvent]) -> str:
    """What was said and done, in order, whatever it was merged into."""
    return "".join(
        event.text if isinstance(event, TextDelta) else event.call_id if isinstance(event, ToolFinished) else ""
        for event in events
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(OPS), max_size=40), st.booleans())
@example(["act", "leave", "say"], False)
@example(["hold", "act", "pass a while", "act", "leave", "release", "say"], False)
@example(["say", "hold", "pass a little", "pass a little", "pass a little", "say", "read", "leave"], False)
@example(["go away", "act", "say", "pass a while", "come back", "act", "pass a while", "leave"], True)
def test_the_log_has_every_event_once(ops: list[str], unsaved: bool) -> None:
    """All that the run said, without gaps, and what its reader was shown is the beginning of that, event for event."""
    story = asyncio.run(told(ops, unsaved=unsaved))
    log = story.world.runs.log(story.world.run.id)  # fails where an event is missing or double
    assert words([event for _, event in log]) == "".join(story.said)
    assert isinstance(log[-1][1], RunFailed if unsaved else RunCompleted)
    assert story.shown == log[: len(story.shown)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(LOSSES), max_size=30))
@example(["say", "take over", "act", "pass a while"])
@example(["hold", "act", "take over", "release", "leave"])
def test_a_superseded_attempt_stores_nothing_more(ops: list[str]) -> None:
    """Up to the take-over its log has no gaps, and from then on nothing comes to it, nor to the record."""
    story = asyncio.run(told(ops))
    log = story.world.runs.log(story.world.run.id)
    assert "".join(story.said).startswith(words([event for _, event in log]))
    if story.lost:
        assert story.world.runs.outcomes == {}


@pytest.mark.parametrize("ops", [["say", "act", "say"]])
async def test_a_story_that_is_read_to_its_end_is_shown_whole(ops: list[str]) -> None:
    """The reader of a run to which nothing happens sees exactly its log."""
    story = await told(ops)
    assert story.shown == story.world.runs.log(story.world.run.id)
