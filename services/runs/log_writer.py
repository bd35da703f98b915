"""The event log as an agent replica writes it: what all its runs have said, together, a few times a second.

Text may be shown before it is stored, for `show_ahead_s` at most; whatever else happens in a run is stored first. The log
takes the events from the runs themselves, so it does not matter who reads them, or whether anybody does. A token costs it
nothing, and a replica spends some seven statements a second on it however many runs it has.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from services.errors import InternalError, MainstayError, RunSuperseded, StoreUnavailable
from services.events import EventBatch, ReasoningDelta, RunStarted, TextDelta
from services.runs.buffer import EventBuffer, Timer, call_later
from services.runs.logged_run import LoggedRun, Tail
from services.runs.logged_run import LogRow as LogRow  # who stores rows knows them from here
from services.types import Fence

logger = logging.getLogger(__name__)

_MAY_BE_SHOWN_FIRST = frozenset({TextDelta, ReasoningDelta, RunStarted})


class EventLog(Protocol):
    async def append(self, rows: Sequence[LogRow]) -> Collection[UUID]:
        """Store the rows of the runs whose fence still holds, and return the runs whose does not: theirs are dropped.

        Raises StoreUnavailable; nothing, or everything, is then stored, and appending the same again is harmless.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """`commit_within_s`: how soon text is sent to the store. `show_ahead_s`: how long it may be shown before it is stored.
    `patience_s`: how long what must be stored first waits for a store that does not answer.
    """

    commit_within_s: float = 0.15
    show_ahead_s: float = 0.25
    patience_s: float = 1.0
    retry_s: float = 0.5


class LogWriter:
    """One per replica. `refused` is called with an attempt whose events the store does not take, and why: another replica
    has taken the run over, or it is over; or what it said cannot be stored, which is a bug.

    While the store does not answer runs go on: what they say is shown without being stored once `patience_s` is over, kept,
    and stored when the store is back. What that takes of memory is what the runs say meanwhile.
    """

    def __init__(
        self,
        log: EventLog,
        policy: LogPolicy,
        *,
        refused: Callable[[Fence, MainstayError], None],
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._log = log
        self._policy = policy
        self._tell_refused = refused
        self._clock = clock
        self._call_later = call_later
        # Dicts for their order: a run that had something to say earlier comes first.
        self._news: dict[LoggedRun, None] = {}
        self._urgent: dict[LoggedRun, None] = {}
        self._unstored: dict[LoggedRun, None] = {}
        self._storing: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._silent = False

    @property
    def lag_s(self) -> float:
        """How old the oldest event is that is not known to be stored; 0 where there is none."""
        oldest = self._oldest
        return 0.0 if oldest is None else self._clock() - oldest

    def open(self, fence: Fence, buffer: EventBuffer) -> LoggedRun:
        """Log what is written into the buffer from now on, which must be empty."""
        run = LoggedRun(fence, buffer, self._clock)
        buffer.on_news = partial(self._on_news, run)
        return run

    async def may_show(self, run: LoggedRun, batch: EventBatch) -> None:
        """Return once a batch of the run may be shown. Raises RunSuperseded for one that never may."""
        if run.refusal is not None:
            raise run.refusal
        since, whole = run.since, None if run.buffer.leads else batch.last.seq  # what has no verdict is stored later
        first: int | None = None
        if not _MAY_BE_SHOWN_FIRST.issuperset(map(type, batch.events)):
            first = whole
        elif since is not None and self._clock() - since >= self._policy.show_ahead_s:
            # Text that was shown is on its way; this waits for that, and not for its own turn.
            first = run.rows[-1].seq if run.rows else whole
        if first is not None:
            await self._until(run, first)

    def may_show_text(self, run: LoggedRun) -> bool:
        """Whether text of the run may be shown at once, and nothing before it waits to be."""
        since = run.since
        in_time = since is None or self._clock() - since < self._policy.show_ahead_s
        return in_time and run.refusal is None and not run.awaited

    def flush(self, run: LoggedRun) -> None:
        """Begin to store what the run has said, now, or as soon as what is being stored is."""
        self._urgent[run] = None
        if self._storing is None:
            self._begin(self._urgent)

    def tail(self, run: LoggedRun) -> Tail:
        """Take what is not stored of a run that ends, for whoever records its end."""
        self._drop(run)
        return run.tail()

    def leave(self, run: LoggedRun, refusal: MainstayError) -> None:
        """Drop what is not stored of a run: it is not this attempt's to store any more."""
        self._drop(run)
        run.settle(refusal)

    async def close(self) -> None:
        """Store what is left, as far as the store takes it."""
        while self._news or self._unstored or self._storing is not None:
            if self._storing is None:
                self._silent = False  # a last try
                self._begin(self._news)
            if self._storing is not None:
                await asyncio.wait([self._storing])
            if self._silent:
                break
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_news(self, run: LoggedRun) -> None:
        if run.refusal is not None:
            return
        run.has_news()
        self._news[run] = None
        if self._timer is None and self._storing is None:
            self._timer = self._call_later(self._policy.commit_within_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._storing is None:
            self._begin(self._news)

    async def _until(self, run: LoggedRun, seq: int) -> None:
        """Wait until an event is stored, or the store has not answered in time. Raises RunSuperseded."""
        if run.stored < seq and not self._mute:
            timer = self._call_later(self._policy.patience_s, self._fall_silent)
            if not run.ending:
                self.flush(run)
            try:
                await run.wait(seq)
            finally:
                timer.cancel()
        if run.refusal is not None:
            raise run.refusal

    @property
    def _mute(self) -> bool:
        """Whether the store has not answered, and has yet to be seen to."""
        return self._silent and bool(self._unstored)

    def _drop(self, run: LoggedRun) -> None:
        for runs in (self._news, self._urgent, self._unstored):
            runs.pop(run, None)

    def _begin(self, runs: Mapping[LoggedRun, None]) -> None:
        """Begin to store what these runs have said. A store that does not answer is asked with what it has not taken only."""
        if not self._mute:
            for run in tuple(runs):
                run.cut()
                self._drop(run)
                self._unstored[run] = None
        sent = {run: tuple(run.rows) for run in self._unstored if run.rows}
        self._unstored = dict.fromkeys(sent)
        if sent:
            # In an empty context: Serve cancels with a request what was started in its context.
            loop = asyncio.get_running_loop()
            self._storing = loop.create_task(self._append(sent), context=contextvars.Context())
            self._storing.add_done_callback(self._on_stored)

    async def _append(self, runs: Mapping[LoggedRun, Sequence[LogRow]]) -> None:
        rows = [row for of_run in runs.values() for row in of_run]
        # gather makes whatever is raised a value: an error nobody has thought of must not end the log of all runs.
        [refused] = await asyncio.gather(self._log.append(rows), return_exceptions=True)
        if isinstance(refused, StoreUnavailable):
            self._fall_silent()
        elif isinstance(refused, BaseException):
            if len(runs) > 1:
                for run, of_run in runs.items():
                    await self._append({run: of_run})
                return
            [run] = runs
            logger.error("what run %s said cannot be stored as it is", run.fence.run_id, exc_info=refused)
            self._refuse(run, InternalError("What the run said cannot be stored. It has been logged."))
        else:
            self._silent = False
            for run, of_run in runs.items():
                if run.fence.run_id not in refused:
                    run.confirm(of_run)
                    if not run.rows:
                        self._unstored.pop(run, None)
                elif not run.ending:  # else whoever records its end is told
                    self._refuse(run, RunSuperseded(f"Attempt {run.fence.attempt} of the run was taken over."))

    def _refuse(self, run: LoggedRun, error: MainstayError) -> None:
        self.leave(run, error)
        self._tell_refused(run.fence, error)

    def _fall_silent(self) -> None:
        """Have nobody wait for a store that does not answer, until it does."""
        if not self._silent:
            logger.warning("the event log cannot be stored: runs go on, and what they say is stored later")
        self._silent = True
        for run in (*self._news, *self._unstored):
            run.let_go()

    def _on_stored(self, task: "asyncio.Task[None]") -> None:
        self._storing = None
        if task.cancelled():
            return
        pause_s = self._pause_s()
        if pause_s is None:
            return
        if pause_s <= 0.0:
            self._begin(self._news)
        elif self._urgent and not self._mute:
            self._begin(self._urgent)
        if self._timer is None and self._storing is None:
            self._timer = self._call_later(pause_s, self._on_time)

    def _pause_s(self) -> float | None:
        """How long what is left may wait, None when nothing is."""
        if self._mute:
            return self._policy.retry_s
        oldest = self._oldest
        return None if oldest is None else oldest + self._policy.commit_within_s - self._clock()

    @property
    def _oldest(self) -> float | None:
        return min((run.since for run in (*self._unstored, *self._news) if run.since is not None), default=None)
