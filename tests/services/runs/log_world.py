"""A log writer on a fake store, in which time passes by hand."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from services.errors import MainstayError
from services.events import EventBatch, RunEvent, TextDelta
from services.runs.buffer import EventBuffer
from services.runs.log_writer import LogPolicy, LogWriter
from services.runs.logged_run import LoggedRun
from services.types import Fence
from tests.services.runs.fakes import FakeOwnedRuns, a_run
from tests.services.runs.manual_time import ManualTime
from tests.services.runs.turns import some_turns

POLICY = LogPolicy(commit_within_s=0.15, show_ahead_s=0.25, patience_s=1.0, retry_s=0.5)


class Said:
    """One run: what it says, and what its reader takes."""

    def __init__(self, world: "World") -> None:
        run = a_run()
        world.store.runs[run.id] = run
        self.fence = world.store.take_over(run.id).fence
        self.buffer = EventBuffer(attempt=1, window_s=lambda: 0.0, max_chars=10_000, clock=world.time)
        self.log: LoggedRun = world.writer.open(self.fence, self.buffer)
        self.world = world
        self.batches = self.buffer.batches()

    async def shows(self) -> EventBatch:
        """Take a batch for the reader, and wait until it may be shown."""
        batch = await anext(self.batches)
        await self.world.writer.may_show(self.log, batch)
        return batch

    @property
    def logged(self) -> list[RunEvent]:
        return [event for _, event in self.world.store.log(self.fence.run_id)]


class World:
    def __init__(self) -> None:
        self.time = ManualTime()
        self.store = FakeOwnedRuns()
        self.refused: list[tuple[Fence, MainstayError]] = []
        self.writer = LogWriter(
            self.store,
            POLICY,
            refused=lambda fence, error: self.refused.append((fence, error)),
            clock=self.time,
            call_later=self.time.call_later,
        )

    def run(self) -> Said:
        return Said(self)

    async def passes(self, seconds: float) -> None:
        self.time.advance(seconds)
        await some_turns()

    @property
    def statements(self) -> list[int]:
        """How many runs each statement was about."""
        return [len({row.fence for row in rows}) for rows in self.store.sent]


async def started(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    task = asyncio.create_task(work)
    await some_turns()
    return task


def text(words: str) -> TextDelta:
    return TextDelta(text=words)
