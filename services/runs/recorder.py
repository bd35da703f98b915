"""How a run's end gets into the store whatever happens: once, or again and again until the store is there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.errors import AgentLost, InternalError, RunSuperseded, StoreUnavailable
from services.runs.checkpoints import KeptCheckpoint
from services.runs.log_writer import LogRow
from services.runs.ports import OwnedRuns
from services.types import Claim, RunOutcome, RunStatus, Usage

logger = logging.getLogger(__name__)

Rows = Callable[[RunOutcome], Sequence[LogRow]]
"""The last rows of a run's log, given how it ended."""

_ANSWERED = frozenset({RunStatus.COMPLETED, RunStatus.INTERRUPTED})
_CLOSED = AgentLost("Somebody else ended this run first.")
_UNSAVED = StoreUnavailable(
    "The answer could not be recorded: the run has failed, and what it said is kept as incomplete."
)
_UNSTORABLE = InternalError("The answer could not be saved. It has been logged.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How a run has ended, as it is to be told, and whether its log says so too, or will once the store is back."""

    outcome: RunOutcome
    logged: bool = True


class RunRecorder:
    """Writes outcomes. What is told of a run is what its record says, or will say.

    A store that is away when an answer is to be recorded is tried `tries` times, `retry_s` seconds apart: enough for a
    database that is restarted. Then the run has failed. An end that is told and could not be written is kept in memory, and
    tried again until it succeeds or the replica stops: a run must not look alive for ever.
    """

    def __init__(
        self, runs: OwnedRuns, *, tries: int, retry_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._runs = runs
        self._tries = tries
        self._retry_s = retry_s
        self._sleep = sleep
        self._unsettled: dict[UUID, _End] = {}
        self._settling: set[asyncio.Task[None]] = set()

    @property
    def unsettled(self) -> Collection[UUID]:
        """Runs that have ended here, of which the store does not know."""
        return self._unsettled.keys()

    async def record(
        self, claim: Claim, outcome: RunOutcome, rows: Rows, last: KeptCheckpoint | None = None
    ) -> Recorded:
        """Write how a run ended, with the last rows of its log and its `last` checkpoint. Raises RunSuperseded, and nothing
        else.
        """
        run_id = claim.run.id
        end = _End(claim, outcome, rows, last)
        stored = await self._finish_in_time(end)
        logged = True
        if not isinstance(stored, RunStatus | StoreUnavailable):
            logger.error("run %s: its end cannot be stored as it is", run_id, exc_info=stored)
            outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=_UNSTORABLE.to_failure())
            end, logged = _End(claim, outcome, _none), False
            stored = await self._finish(end)
        if isinstance(stored, StoreUnavailable):
            logger.warning("run %s: its end cannot be stored yet", run_id)
            end = replace(end, outcome=_as_told(outcome), last=None)
            self._settle_later(end)
            return Recorded(outcome=end.outcome, logged=logged)
        if not isinstance(stored, RunStatus):
            logger.error("run %s: its end cannot be stored at all", run_id, exc_info=stored)
            return Recorded(outcome=outcome, logged=False)
        if stored is not outcome.status:
            # What is stored is what is told: somebody else's word came first.
            failure_of_others = _CLOSED.to_failure() if stored is RunStatus.FAILED else None
            return Recorded(outcome=replace(outcome, status=stored, failure=failure_of_others), logged=False)
        return Recorded(outcome=outcome, logged=logged)

    async def last_try(self) -> None:
        """Write what could not be written so far, for a replica that stops."""
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*map(self._settle, list(self._unsettled.values())))

    async def _finish_in_time(self, end: "_End") -> RunStatus | BaseException:
        """As `_finish`, and wait a little for a store that is away where an answer would be lost."""
        stored = await self._finish(end)
        for _ in range(self._tries - 1 if end.outcome.status in _ANSWERED else 0):
            if not isinstance(stored, StoreUnavailable):
                break
            await self._sleep(self._retry_s)
            stored = await self._finish(end)
        return stored

    async def _finish(self, end: "_End") -> RunStatus | BaseException:
        """Return the status that is now stored, or what went wrong. Raises RunSuperseded."""
        # gather makes whatever is raised a value: an end that cannot be stored must not keep the run alive for ever.
        [stored] = await asyncio.gather(self._write(end), return_exceptions=True)
        if isinstance(stored, RunSuperseded):
            raise stored
        return stored

    async def _write(self, end: "_End") -> RunStatus:
        return await self._runs.finish(end.claim, end.outcome, end.rows(end.outcome), end.last)

    def _settle_later(self, end: "_End") -> None:
        self._unsettled[end.claim.run.id] = end
        task = asyncio.get_running_loop().create_task(self._settle_in_time(end))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_in_time(self, end: "_End") -> None:
        while self._unsettled.get(end.claim.run.id) is end:
            await self._sleep(self._retry_s)
            await self._settle(end)

    async def _settle(self, end: "_End") -> None:
        run_id = end.claim.run.id
        try:
            stored = await self._finish(end)
        except RunSuperseded:
            logger.warning("run %s was taken over before its end could be stored: it ends again", run_id)
        else:
            if isinstance(stored, StoreUnavailable):
                return
            if isinstance(stored, BaseException):
                logger.error("run %s: its end cannot be stored as it is", run_id, exc_info=stored)
        if self._unsettled.get(run_id) is end:
            del self._unsettled[run_id]


@dataclass(frozen=True, slots=True)
class _End:
    claim: Claim
    outcome: RunOutcome
    rows: Rows
    last: KeptCheckpoint | None = None


def _none(outcome: RunOutcome) -> Sequence[LogRow]:
    return ()


def _as_told(outcome: RunOutcome) -> RunOutcome:
    """Return how a run is said to have ended whose end could not be stored in time."""
    if outcome.status not in _ANSWERED:
        return outcome
    failure = replace(_UNSAVED.to_failure(), retryable=False)
    return replace(outcome, status=RunStatus.FAILED, failure=failure, finish_reason=None, interrupts=())
