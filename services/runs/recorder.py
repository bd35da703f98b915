"""The record of how runs ended, kept also when the store cannot be reached at that moment."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

from services.errors import AgentLost, InternalError, StoreUnavailable
from services.runs.ports import RunStore
from services.types import Run, RunOutcome, RunStatus, Usage

logger = logging.getLogger(__name__)

_UNSAVED = StoreUnavailable("The answer could not be saved yet. Its run is on record once the database is back.")
_UNSTORABLE = InternalError("The answer could not be saved. It has been logged.")
_CLOSED = AgentLost("The run was closed before its end could be recorded.")


class RunRecorder:
    """Writes ends. One that the store cannot take is told to the client as not saved, and tried again every `retry_s`
    seconds until it succeeds or the replica stops: a run must not look alive for ever.
    """

    def __init__(self, runs: RunStore, *, retry_s: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._runs = runs
        self._retry_s = retry_s
        self._sleep = sleep
        self._unsettled: dict[UUID, tuple[Run, RunOutcome]] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def record(self, run: Run, outcome: RunOutcome) -> RunOutcome:
        """Write how a run ended and return what is to be told of it. Raises nothing."""
        [stored] = await asyncio.gather(self._runs.finish(run, outcome), return_exceptions=True)
        if isinstance(stored, StoreUnavailable):
            logger.warning("run %s: its end cannot be stored yet", run.id)
            self._settle_later(run, outcome)
            return replace(outcome, status=RunStatus.FAILED, failure=replace(_UNSAVED.to_failure(), retryable=False))
        if isinstance(stored, BaseException):
            logger.error("run %s: its end cannot be stored as it is", run.id, exc_info=stored)
            bare = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=_UNSTORABLE.to_failure())
            await asyncio.gather(self._runs.finish(run, bare), return_exceptions=True)
            return bare
        if stored is outcome.status:
            return outcome
        # Somebody else had closed the run: the ingress that lost our stream, or the sweep. What is stored is the truth.
        failure = _CLOSED.to_failure() if stored is RunStatus.FAILED else None
        return replace(outcome, status=stored, failure=failure)

    def _settle_later(self, run: Run, outcome: RunOutcome) -> None:
        if run.id in self._unsettled:
            return
        self._unsettled[run.id] = (run, outcome)
        task = asyncio.get_running_loop().create_task(self._settle(run, outcome))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, run: Run, outcome: RunOutcome) -> None:
        while run.id in self._unsettled:
            await self._sleep(self._retry_s)
            try:
                await self._runs.finish(run, outcome)
            except StoreUnavailable:
                continue
            self._unsettled.pop(run.id, None)

    async def last_try(self) -> None:
        """Write what could not be written so far, for a replica that stops."""
        for run, outcome in list(self._unsettled.values()):
            await self.record(run, outcome)
