"""A run that has begun, as its reader at the ingress sees it: batches, one terminal event, and never longer than its time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from services.errors import AgentLost, DeadlineExceeded, MainstayError, error_from_failure
from services.runs.deadline import TimeLimit
from services.types import EventBatch, OnDisconnect, Run, RunFailed, RunStarted, TextDelta, Usage

STREAM_LOST = "stream_lost"
DEADLINE_MARGIN_S = 2.0
"""What an agent gets beyond the deadline to tell of the end itself, with its bill and its text.

It counts from when the ticket reaches it, and may have waited for a replica; the clocks of two processes cannot be compared.
"""


class Endings(Protocol):
    """How the ingress ends a run that its agent has not ended."""

    def hang_up(self, run: Run) -> None:
        """The reader has left."""
        ...

    async def lose(self, run: Run, error: MainstayError, said: str) -> None:
        """The stream of its events broke, after it had `said` that much of its answer."""
        ...

    def run_out(self, run: Run, error: MainstayError, said: str) -> "asyncio.Task[None]":
        """Its time is up. The task returned is done when the reader may be told, within a second."""
        ...


class LiveRun:
    """The events of one run, from RunStarted to its terminal event, as an async iterator of batches.

    The reader always sees exactly one terminal event. An agent that dies, or ends without one, yields a
    RunFailed(agent_lost); one that is still not at its end DEADLINE_MARGIN_S after the time limit, a
    RunFailed(deadline_exceeded). `aclose` before that is a hang-up.

    The answer is kept as it passes, so that what a client was shown is on record even if the agent took it along.
    """

    def __init__(self, *, run: Run, limit: TimeLimit, endings: Endings) -> None:
        self.run = run
        self.limit = limit
        self._endings = endings
        self._stream: AsyncIterator[EventBatch] | None = None
        self._first: EventBatch | None = None
        self._next_seq = 0
        self._attempt = 1
        self._said: list[str] = []
        self._ended = False
        self._ending: asyncio.Task[None] | None = None

    @property
    def asked(self) -> bool:
        """Whether an agent has been sent the run's ticket."""
        return self._stream is not None

    async def open(self, stream: AsyncIterator[EventBatch]) -> None:
        """Wait for the first batch. Raises what the agent raised instead of one, and what a run failed with at once."""
        self._stream = stream
        try:
            self._first = await anext(stream)
        except StopAsyncIteration:
            raise AgentLost("The agent ended without an answer. Send the request again.") from None
        match self._first.events:
            case (RunStarted(), RunFailed(failure=failure, partial=False)):
                raise error_from_failure(failure)
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
                batch = await self._failed(AgentLost("The agent ended in the middle of the answer."))
            except MainstayError as error:
                batch = await self._failed(error)
        self._next_seq = batch.first_seq + len(batch.events)
        self._attempt = batch.attempt
        for event in batch.events:
            if isinstance(event, TextDelta) and event.source is None:
                self._said.append(event.text)
        if batch.terminal:
            self._ended = True
            self.limit.stop()
        return batch

    async def _failed(self, error: MainstayError) -> EventBatch:
        """Make the terminal event of a run whose stream broke, or whose time is up.

        A stream that broke may be only a detach, its agent alive. A run that must not go on without its client is stopped,
        which records what it had said; one that is to continue is left to its agent or the sweep.
        """
        try:
            with self.limit:
                if self.run.on_disconnect is OnDisconnect.CANCEL:
                    await self._endings.lose(self.run, error, "".join(self._said))
        except DeadlineExceeded as passed:
            error = passed
            if self._ending is not None:
                await asyncio.wait([self._ending])
        failed = RunFailed(
            failure=error.to_failure(), partial=bool(self._said), usage=Usage(), duration_s=self.limit.elapsed_s()
        )
        return EventBatch(attempt=self._attempt, first_seq=self._next_seq, events=(failed,))

    def _run_out(self) -> None:
        """End the run at once, also while its reader is busy with the last batch and not waiting for the next."""
        self._ending = self._endings.run_out(self.run, self.limit.exceeded(), "".join(self._said))

    async def aclose(self) -> None:
        """Stop reading. If the run has not ended this is a hang-up, and the run's policy decides what becomes of it.

        The stream is closed first: that frees the place at the agent through which the word to cancel comes in.
        """
        self.limit.stop()
        stream, self._stream = self._stream, None
        left, self._ended = not self._ended, True
        close = getattr(stream, "aclose", None)
        try:
            if close is not None:
                await close()
        finally:
            if left:
                self._endings.hang_up(self.run)
