"""Runs as an ingress replica follows them through the event log: one query for all of them, a few times a second.

A run may be executed by any replica, so whoever comes to look at it may come to any ingress: what it has said so far is
read first, and then what it goes on to say, until its terminal event.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from services.errors import AgentLost, MainstayError, NotFound, StoreUnavailable
from services.events import EventBatch, RunCancelled, RunCompleted, RunFailed, RunInterrupted, TerminalEvent, TextDelta
from services.runs.buffer import Timer, call_later
from services.runs.ports import LogPage, RunLog
from services.types import EventId, Run, RunStatus

logger = logging.getLogger(__name__)

_LOST = AgentLost("The run ended without saying why.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPolicy:
    """The log is read every `busy_s` while runs have something to say, and ever less often, down to every `quiet_s`, while none
    has. `watch_s`: how often the runs' owners are told that somebody reads.
    """

    busy_s: float = 0.1
    quiet_s: float = 0.25
    watch_s: float = 1.5
    retry_s: float = 1.0


class LogFollower:
    """Follows any number of runs for any number of readers. One per ingress replica.

    A reader is given more only when it has taken what it was given, so a slow one costs nothing and holds up nobody.
    """

    def __init__(
        self,
        log: RunLog,
        policy: FollowPolicy,
        *,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._log = log
        self._policy = policy
        self._clock = clock
        self._call_later = call_later
        self._readers: set[_Reader] = set()
        self._wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._pause_s = policy.busy_s
        self._watched_at = float("-inf")
        self._polling: asyncio.Task[None] | None = None

    async def follow(
        self, run_id: UUID, after: EventId | None = None, *, going_on: bool = False
    ) -> AsyncGenerator[EventBatch, None]:
        """Yield the batches of a run behind an event, as they were made or are being made, until its terminal one.

        A run that ended with no terminal event in its log, such as one whose owner was lost for good, is given one from its
        record. A reader who has the last event already is given nothing. Close the iterator when leaving early.

        Raises NotFound, and StoreUnavailable where the first look fails; later ones are tried again for as long as it takes.
        A reader who knows that the run was `going_on` cannot have its last event, and waits for the first look too.
        """
        reader = _Reader(run_id, after, going_on=going_on)
        self._readers.add(reader)
        try:
            while True:
                page = await self._next_page(reader)
                for batch in page.batches:
                    reader.take(batch)
                    fresh = behind(after, batch)
                    if fresh is not None:
                        yield fresh
                    if batch.terminal:
                        return
                if page.ended is not None:
                    ending = reader.ending(page.ended)
                    if after is None or after < ending.last:
                        yield ending
                    return
        finally:
            self._readers.discard(reader)
            self._wanted.set()

    async def _next_page(self, reader: "_Reader") -> LogPage:
        reader.page = asyncio.get_running_loop().create_future()
        self._wanted.set()
        if reader.new:
            self._hurry.set()
        if self._polling is None or self._polling.done():
            # In an empty context: Serve cancels with a request what was started in its context.
            self._polling = asyncio.get_running_loop().create_task(self._poll(), context=contextvars.Context())
            self._polling.add_done_callback(self._on_polled)
        return await reader.page

    def _on_polled(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("following the event log failed", exc_info=error)
            for reader in self._readers:
                reader.fail(StoreUnavailable("The event log cannot be read."))

    async def _poll(self) -> None:
        """Read for everybody until nobody is left. A new reader is served at once."""
        while self._readers:
            waiting = [reader for reader in self._readers if reader.waits]
            if not waiting:
                self._wanted.clear()
                await self._wanted.wait()
                continue
            try:
                self._hurry.clear()
                rows = await self._read(waiting)
            except StoreUnavailable as error:
                for reader in waiting:
                    if reader.new and not reader.going_on:
                        reader.fail(error)
                await self._pass(self._policy.retry_s)
                continue
            self._pause_s = self._policy.busy_s if rows else min(self._policy.quiet_s, self._pause_s * 1.5)
            if rows <= 1:  # where there were more, somebody reads what was said long ago
                await self._pass(self._pause_s)

    async def _read(self, waiting: "list[_Reader]") -> int:
        """Ask the log once, and hand out what it says. Return how many rows the reader who got most was given."""
        furthest_behind: dict[UUID, EventId | None] = {}
        for reader in waiting:
            known = furthest_behind.setdefault(reader.run_id, reader.after)
            if known is not None and (reader.after is None or reader.after < known):
                furthest_behind[reader.run_id] = reader.after
        pages = await self._log.read(furthest_behind)
        await self._watch(pages)
        most = 0
        for reader in waiting:
            page = pages.get(reader.run_id)
            if page is None:
                reader.fail(NotFound(f"There is no run {reader.run_id}."))
            else:
                most = max(most, reader.give(page))
        return most

    async def _watch(self, pages: Mapping[UUID, LogPage]) -> None:
        if self._clock() - self._watched_at >= self._policy.watch_s:
            self._watched_at = self._clock()
            at_work = [run_id for run_id, page in pages.items() if page.ended is None]
            if at_work:
                await self._log.watch(at_work)

    async def _pass(self, seconds: float) -> None:
        """Wait so long, or until a new reader comes."""
        timer = self._call_later(seconds, self._hurry.set)
        try:
            await self._hurry.wait()
        finally:
            timer.cancel()


class _Reader:
    """`after` is the last event that it has; `new` says that it has not been given anything yet."""

    def __init__(self, run_id: UUID, after: EventId | None, *, going_on: bool) -> None:
        self.run_id = run_id
        self.after = after
        if after is not None and not going_on:
            # From one event before, so that a reader who has the last one already is known to have it.
            self.after = EventId(attempt=after.attempt, seq=after.seq - 1)
        self.going_on = going_on
        self.new = True
        self.page: asyncio.Future[LogPage] | None = None
        self._said = after is not None

    @property
    def waits(self) -> bool:
        return self.page is not None and not self.page.done()

    def give(self, page: LogPage) -> int:
        """Hand over what of a page is news to this reader. Return how many rows that was."""
        mine = LogPage(batches=tuple(filter(None, (behind(self.after, b) for b in page.batches))), ended=page.ended)
        self.new = False
        if self.page is None or self.page.done() or not (mine.batches or mine.ended):
            return 0
        self.page.set_result(mine)
        return len(mine.batches)

    def fail(self, error: MainstayError) -> None:
        if self.page is not None and not self.page.done():
            self.page.set_exception(error)

    def take(self, batch: EventBatch) -> None:
        self.after = batch.last
        self._said = self._said or any(isinstance(event, TextDelta) for event in batch.events)

    def ending(self, run: Run) -> EventBatch:
        """Make the terminal event that the log does not have."""
        attempt = max(run.attempt, self.after.attempt if self.after else 1, 1)
        seq = self.after.seq + 1 if self.after is not None and self.after.attempt == attempt else 0
        return EventBatch(attempt=attempt, first_seq=seq, events=(ending_of(run, partial=self._said),))


def ending_of(run: Run, *, partial: bool) -> TerminalEvent:
    """Return the terminal event of a run as its record tells of it; `partial` says whether some of an answer was shown."""
    begun, ended = run.started_at or run.created_at, run.finished_at
    duration_s = 0.0 if begun is None or ended is None else max(0.0, (ended - begun).total_seconds())
    if run.status is RunStatus.COMPLETED:
        return RunCompleted(finish_reason=run.finish_reason or "stop", usage=run.usage, duration_s=duration_s)
    if run.status is RunStatus.CANCELLED:
        return RunCancelled(reason=run.cancel_reason or "cancelled", usage=run.usage, duration_s=duration_s)
    if run.status is RunStatus.INTERRUPTED:
        return RunInterrupted(interrupts=run.interrupts, usage=run.usage, duration_s=duration_s)
    failure = run.failure or _LOST.to_failure()
    return RunFailed(failure=failure, partial=partial, usage=run.usage, duration_s=duration_s)


def behind(after: EventId | None, batch: EventBatch) -> EventBatch | None:
    """Return the part of a batch that follows an event, None where there is none."""
    first = EventId(attempt=batch.attempt, seq=batch.first_seq)
    if after is None or after < first:
        return batch
    if after >= batch.last:
        return None
    skip = after.seq + 1 - batch.first_seq
    return replace(batch, first_seq=after.seq + 1, events=batch.events[skip:])
