"""A run as its agent replica sees it: take it from the store, let the graph run, stream its events, record its end.

A run lives in a task of its own, not in the response that shows it. Losing the reader is a *detach*: the run goes on for
`orphan_grace_s` (or to its end, if its policy is to continue). Only an explicit `cancel`, the deadline, or the end of that
grace stops it. Exactly one terminal event is emitted, after the outcome has been committed; the record is the only thing
that is shielded from cancellation.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from services.errors import DeadlineExceeded, InternalError, MainstayError, NotFound, StoreUnavailable
from services.llm.gateway import Gateway, RunModel
from services.runs.buffer import EventBuffer
from services.runs.deadline import Deadline
from services.runs.ports import RunStore
from services.runs.types import Graph, GraphResult, RunContext
from services.types import (
    EventBatch,
    Guard,
    Message,
    OnDisconnect,
    Run,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunOutcome,
    RunStarted,
    RunStatus,
    RunTicket,
    TerminalEvent,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """Seconds since the run began in its replica; `first_text_s` is None for a run that said nothing."""

    duration_s: float
    first_text_s: float | None


class RunObserver(Protocol):
    """Told once of every run that ended, after its record: for samples and metrics. Must neither wait nor raise."""

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """`flushes_per_s` is what one replica spends on event batches, shared by its streams: see `RunEngine.window_s`."""

    orphan_grace_s: float = 5.0
    max_buffered_chars: int = 65_536
    max_flush_window_s: float = 0.05
    flushes_per_s: float = 1_000.0
    record_retry_s: float = 1.0


@dataclass(slots=True, kw_only=True)
class _Execution:
    run: Run
    buffer: EventBuffer
    model: RunModel
    deadline: Deadline
    started_at: float
    cancel_reason: str | None = None
    task: "asyncio.Task[None] | None" = field(default=None)


class RunEngine:
    """The runs of one agent replica. `prompts` are asked for at the start of every run, so they can change live."""

    def __init__(
        self,
        *,
        runs: RunStore,
        graphs: Mapping[str, Graph],
        gateway: Gateway,
        guard: Guard,
        observer: RunObserver,
        prompts: Callable[[str], Mapping[str, str]],
        limits: EngineLimits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._runs = runs
        self._graphs = graphs
        self._gateway = gateway
        self._guard = guard
        self._observer = observer
        self._prompts = prompts
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._unsettled: set[asyncio.Task[None]] = set()
        self._executions: dict[UUID, _Execution] = {}
        self._readers = 0

    @property
    def active(self) -> int:
        """Runs that are executing, read by somebody or not."""
        return len(self._executions)

    @property
    def detached(self) -> int:
        """Runs that are executing and that nobody reads: work that Serve does not see in its request count."""
        return len(self._executions) - self._readers

    def window_s(self) -> float:
        """The least time between two batches of one stream: streams / flushes_per_s, at most `max_flush_window_s`."""
        return min(self._limits.max_flush_window_s, self._readers / self._limits.flushes_per_s)

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        """Run a stored run and yield its batches. Closing the iterator detaches. Raises NotFound, StoreUnavailable."""
        deadline = Deadline.after(ticket.remaining_s, self._clock)
        execution = self._begin(await self._runs.start(ticket.run_id), deadline)
        self._readers += 1
        try:
            async for batch in execution.buffer.batches():
                yield batch
        finally:
            self._readers -= 1
            if execution.run.id in self._executions:
                self._detach(execution)

    async def cancel(self, run_id: UUID, reason: str) -> None:
        """Stop a run of this replica and return once its end is recorded; any other run is left alone."""
        execution = self._executions.get(run_id)
        if execution is None or execution.task is None:
            return
        self._stop(execution, reason)
        await asyncio.wait([execution.task])

    async def drain(self, timeout_s: float) -> None:
        """Wait for the runs to end, then cancel those that are left. For a replica that is asked to stop."""
        tasks = [execution.task for execution in self._executions.values() if execution.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for execution in list(self._executions.values()):
            self._stop(execution, "shutdown")
        if late:
            await asyncio.wait(late)

    def _begin(self, run: Run, deadline: Deadline) -> _Execution:
        limits = self._limits
        buffer = EventBuffer(attempt=1, window_s=self.window_s, max_chars=limits.max_buffered_chars, clock=self._clock)
        execution = _Execution(
            run=run,
            buffer=buffer,
            model=self._gateway.bind(buffer, deadline),
            deadline=deadline,
            started_at=self._clock(),
        )
        buffer.emit(RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph))
        # An empty context: whatever is started in a request's context, Serve cancels with the request.
        execution.task = asyncio.get_running_loop().create_task(self._run(execution), context=contextvars.Context())
        self._executions[run.id] = execution
        return execution

    def _detach(self, execution: _Execution) -> None:
        execution.buffer.detach()
        if execution.run.on_disconnect is not OnDisconnect.CONTINUE:
            loop = asyncio.get_running_loop()
            loop.call_later(self._limits.orphan_grace_s, self._stop, execution, "orphaned")

    def _stop(self, execution: _Execution, reason: str) -> None:
        if execution.task is not None and execution.cancel_reason is None and not execution.task.done():
            execution.cancel_reason = reason
            execution.task.cancel()

    async def _run(self, execution: _Execution) -> None:
        record = asyncio.get_running_loop().create_task(self._record(execution, await self._outcome(execution)))
        while not record.done():
            try:
                await asyncio.shield(record)
            except asyncio.CancelledError:
                continue

    async def _outcome(self, execution: _Execution) -> RunOutcome:
        """Let the graph run and say how it ended. Never raises: a run that cannot say how it ended would be lost."""
        try:
            async with asyncio.timeout(execution.deadline.remaining_s()):
                result = await self._graph(execution.run).invoke(self._context(execution))
        except asyncio.CancelledError:
            return self._unfinished(execution, RunStatus.CANCELLED, None)
        except TimeoutError:
            return self._unfinished(execution, RunStatus.FAILED, DeadlineExceeded("The run reached its time limit."))
        except MainstayError as error:
            return self._unfinished(execution, RunStatus.FAILED, error)
        except Exception:  # a node is the user's code: whatever it raises ends its run, and only its run
            logger.exception("run %s failed in graph %s", execution.run.id, execution.run.graph)
            return self._unfinished(execution, RunStatus.FAILED, InternalError("The agent failed. It has been logged."))
        return self._finished(execution, result)

    def _graph(self, run: Run) -> Graph:
        try:
            return self._graphs[run.graph]
        except KeyError:
            raise NotFound(f"This replica does not serve the graph {run.graph!r}.") from None

    def _context(self, execution: _Execution) -> RunContext:
        return RunContext(
            run=execution.run,
            model=execution.model,
            events=execution.buffer,
            guard=self._guard,
            deadline=execution.deadline,
            prompts=self._prompts(execution.run.graph),
        )

    def _finished(self, execution: _Execution, result: GraphResult) -> RunOutcome:
        model = execution.model
        return RunOutcome(
            status=RunStatus.COMPLETED,
            messages=result.messages,
            usage=model.usage,
            provider=model.provider,
            model=model.model,
            finish_reason=result.finish_reason,
        )

    def _unfinished(self, execution: _Execution, status: RunStatus, error: MainstayError | None) -> RunOutcome:
        """The outcome of a run that did not reach its end: what it had already said is kept."""
        model = execution.model
        said = model.answer_text
        return RunOutcome(
            status=status,
            messages=(Message(role="assistant", content=said),) if said else (),
            usage=model.usage,
            provider=model.provider,
            model=model.model,
            failure=None if error is None else error.to_failure(),
        )

    async def _record(self, execution: _Execution, outcome: RunOutcome) -> None:
        """Commit the outcome, then send the terminal event, so that nobody is told of an end that is not stored.

        When the store cannot be reached the client is told that its answer is not saved, and the record is tried again
        until it succeeds or the replica stops: a run must not look alive for ever.
        """
        run = execution.run
        shown = outcome
        try:
            await self._runs.finish(run, outcome)
        except StoreUnavailable as error:
            logger.warning("run %s: its end cannot be stored yet", run.id)
            shown = replace(outcome, status=RunStatus.FAILED, failure=_unsaved(error).to_failure())
            self._settle_later(run, outcome)
        duration_s = self._clock() - execution.started_at
        del self._executions[run.id]
        execution.buffer.emit(_terminal(execution, shown, duration_s))
        first = execution.buffer.first_text_at
        times = RunTimes(duration_s=duration_s, first_text_s=None if first is None else first - execution.started_at)
        self._observer.run_ended(run, shown, times)

    def _settle_later(self, run: Run, outcome: RunOutcome) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(run, outcome))
        self._unsettled.add(task)
        task.add_done_callback(self._unsettled.discard)

    async def _settle(self, run: Run, outcome: RunOutcome) -> None:
        while True:
            await self._sleep(self._limits.record_retry_s)
            try:
                await self._runs.finish(run, outcome)
            except StoreUnavailable:
                continue
            return


def _unsaved(error: StoreUnavailable) -> StoreUnavailable:
    return StoreUnavailable("The answer could not be saved. Send the request again.", retry_after_s=error.retry_after_s)


def _terminal(execution: _Execution, outcome: RunOutcome, duration_s: float) -> TerminalEvent:
    if outcome.failure is not None:
        partial = bool(execution.model.answer_text)
        return RunFailed(failure=outcome.failure, partial=partial, usage=outcome.usage, duration_s=duration_s)
    if outcome.status is RunStatus.CANCELLED:
        reason = execution.cancel_reason or "cancelled"
        return RunCancelled(reason=reason, usage=outcome.usage, duration_s=duration_s)
    return RunCompleted(finish_reason=outcome.finish_reason or "stop", usage=outcome.usage, duration_s=duration_s)
