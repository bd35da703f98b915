"""A run as its reader at the ingress sees it: batches, exactly one terminal event, and never longer than its time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Protocol

from services.errors import AgentLost, DeadlineExceeded, MainstayError, error_from_failure
from services.events import EventBatch, Retracted, RunFailed, RunRestarted, RunStarted, TextDelta
from services.guard import UNJUDGED
from services.runs.deadline import TimeLimit
from services.telemetry import genai
from services.telemetry.spans import UNTRACED, Trace
from services.types import EventId, Run, Usage

DEADLINE_MARGIN_S = 2.0
"""What an agent gets beyond the deadline to tell of the end itself, with its bill and its text.

It counts from when the ticket reaches it, and may have waited for a replica; the clocks of two processes cannot be compared.
"""


class Endings(Protocol):
    """How the ingress ends a run that its agent has not ended."""

    def hang_up(self, run: Run) -> None:
        """The reader has left."""
        ...

    def run_out(self, run: Run, error: MainstayError, said: str) -> "asyncio.Task[None]":
        """Its time is up. The task returned is done when the reader may be told, within a second."""
        ...


def raise_failed_at_once(first: EventBatch) -> None:
    """Raise what a run failed with, if its first batch is all there is of it and shows nothing."""
    *opening, last = first.events
    silent = all(isinstance(event, RunStarted | RunRestarted) for event in opening)
    if silent and isinstance(last, RunFailed) and not last.partial:
        raise error_from_failure(last.failure)


def without_retracted(shown: Iterable[tuple[EventId, str]], event: Retracted) -> Iterator[tuple[EventId, str]]:
    """Yield what an answer's deltas have left, which are all in order, without the characters that are taken back."""
    end = 0
    for at, text in shown:
        start, end = end, end + len(text)
        yield at, text[: max(0, event.from_char - start)] + text[max(0, event.to_char - start) :]


class ReadRun(Protocol):
    """A run that somebody reads: its batches up to the terminal one. Whoever has it closes it."""

    @property
    def run(self) -> Run: ...

    def __aiter__(self) -> AsyncIterator[EventBatch]: ...

    async def aclose(self) -> None: ...


class LiveRun:
    """The run that its reader has begun.

    The reader always sees exactly one terminal event. Where the run's events cannot be had any more it is a RunFailed; one that
    is still not at its end DEADLINE_MARGIN_S after the time limit yields a RunFailed(deadline_exceeded). `aclose` before
    that is a hang-up.
    """

    def __init__(self, *, run: Run, limit: TimeLimit, endings: Endings, trace: Trace = UNTRACED) -> None:
        self.run = run
        self.limit = limit
        self.trace = trace
        self._endings = endings
        self._stream: AsyncIterator[EventBatch] | None = None
        self._first: EventBatch | None = None
        self._last = EventId(attempt=1, seq=-1)
        self._shown: list[tuple[EventId, str]] = []
        self._unjudged_from: int | None = None
        self._ended = False
        self._ending: asyncio.Task[None] | None = None

    async def open(self, stream: AsyncIterator[EventBatch]) -> None:
        """Wait for the first batch. Raises what comes instead of one, and what a run failed with at once."""
        self._stream = stream
        try:
            self._first = await anext(stream)
        except StopAsyncIteration:
            raise AgentLost("The agent ended without an answer. Send the request again.") from None
        raise_failed_at_once(self._first)
        self.go_on_with(stream)

    def go_on_with(self, stream: AsyncIterator[EventBatch]) -> None:
        """Read from here on, without waiting for the first batch: of a run that is queued it may be long in coming."""
        self._stream = stream
        self.limit.extend(DEADLINE_MARGIN_S, self._run_out)

    def __aiter__(self) -> AsyncIterator[EventBatch]:
        return self

    async def __anext__(self) -> EventBatch:
        if self._ended or self._stream is None:
            raise StopAsyncIteration
        batch, self._first = self._first, None
        if batch is None:
            try:
                with self.limit:
                    batch = await anext(self._stream)
            except StopAsyncIteration:
                batch = self._failed(AgentLost("The agent ended in the middle of the answer."))
            except DeadlineExceeded as passed:
                if self._ending is not None:
                    await asyncio.wait([self._ending])
                batch = self._failed(passed)
            except MainstayError as error:
                batch = self._failed(error)
        self._note(batch)
        if batch.terminal:
            self._ended = True
            self.limit.stop()
            if isinstance(batch.events[-1], RunFailed):
                self.trace.keep()
        return batch

    def _note(self, batch: EventBatch) -> None:
        """Remember where the reader is, and what of the answer it has been shown and may keep."""
        self._last, self._unjudged_from = batch.last, batch.unjudged_from
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, TextDelta) and event.source is None:
                self._shown.append((EventId(attempt=batch.attempt, seq=seq), event.text))
            elif isinstance(event, Retracted):
                self._shown = list(without_retracted(self._shown, event))
            elif isinstance(event, RunRestarted):
                keep = event.keep
                self._shown = [(at, text) for at, text in self._shown if keep is not None and at <= keep]

    @property
    def _said(self) -> str:
        return "".join(text for _, text in self._shown)[: self._unjudged_from]

    def _failed(self, error: MainstayError) -> EventBatch:
        """Make the terminal event that did not come, and take back what will have no verdict any more."""
        failed = RunFailed(
            failure=error.to_failure(), partial=bool(self._shown), usage=Usage(), duration_s=self.limit.elapsed_s()
        )
        taken: tuple[Retracted, ...] = ()
        if (kept := self._unjudged_from) is not None:
            shown = sum(len(text) for _, text in self._shown)
            taken = (Retracted(from_char=kept, to_char=shown, rule=UNJUDGED),)
        return EventBatch(attempt=self._last.attempt, first_seq=self._last.seq + 1, events=(*taken, failed))

    def _run_out(self) -> None:
        """End the run at once, also while its reader is busy with the last batch and not waiting for the next."""
        self._ending = self._endings.run_out(self.run, self.limit.exceeded(), self._said)

    async def aclose(self) -> None:
        """Stop reading. If the run has not ended this is a hang-up, and the run's policy decides what becomes of it."""
        self.limit.stop()
        stream, self._stream = self._stream, None
        left, self._ended = not self._ended, True
        close = getattr(stream, "aclose", None)
        try:
            if close is not None:
                await close()
        finally:
            if left:
                self.trace.event(genai.CLIENT_LEFT, {})
                self._endings.hang_up(self.run)


class JoinedRun:
    """A run that somebody else has begun, or begun before. Its reader may come and go: the run does not depend on it.

    `over` says that it has ended and that its reader has seen all of it.
    """

    def __init__(self, *, run: Run, stream: AsyncGenerator[EventBatch, None]) -> None:
        self.run = run
        self.over = False
        self._stream = stream
        self._first: EventBatch | None = None

    async def look(self) -> None:
        """Read the first batch ahead. For a run that has ended: of any other it may be long in coming."""
        try:
            self._first = await anext(self._stream)
        except StopAsyncIteration:
            self.over = True

    async def raise_failed_at_once(self) -> None:
        """Stop reading and raise what the run failed with, if it has ended and that is all that there is to read of it."""
        try:
            if self._first is not None:
                raise_failed_at_once(self._first)
        except MainstayError:
            await self.aclose()
            raise

    def __aiter__(self) -> AsyncIterator[EventBatch]:
        return self

    async def __anext__(self) -> EventBatch:
        first, self._first = self._first, None
        return first if first is not None else await anext(self._stream)

    async def aclose(self) -> None:
        """Stop reading."""
        await self._stream.aclose()
