"""A run as its agent replica sees it: take it from the store, let the graph run, stream its events, record its end.

A run lives in a task of its own, not in the response that shows it. Losing the reader is a *detach*: the run goes on for
`orphan_grace_s` (or to its end, if its policy is to continue). Only an explicit `cancel`, the deadline, or the end of that
grace stops it. Exactly one terminal event is emitted, after the outcome has been committed, by a task that nobody cancels.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.errors import AgentLost, DeadlineExceeded, InternalError, MainstayError, NotFound
from services.llm.gateway import Gateway, RunModel
from services.runs.buffer import EventBuffer
from services.runs.deadline import OUT_OF_TIME, Deadline
from services.runs.ports import RunStore
from services.runs.recorder import RunRecorder
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

SHUTDOWN = "shutdown"
"""The reason with which a stopping replica ends its runs: for their readers it is a failure, and they may try again."""


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
    """`flushes_per_s` is what one replica spends on event batches, shared by its streams: see `RunEngine.window_s`.

    A run that fails within `first_batch_wait_s` without having shown anything fails as an HTTP status, not as an event.
    """

    orphan_grace_s: float = 5.0
    max_buffered_chars: int = 65_536
    max_flush_window_s: float = 0.05
    flushes_per_s: float = 1_000.0
    first_batch_wait_s: float = 0.25
    record_retry_s: float = 1.0


@dataclass(slots=True, kw_only=True)
class _Execution:
    """One run at work. `work` is the graph, which may be cancelled; `watch` waits for it and records its end, and is not."""

    run: Run
    buffer: EventBuffer
    model: RunModel
    deadline: Deadline
    started_at: float
    work: "asyncio.Task[GraphResult]"
    watch: "asyncio.Task[None] | None" = None
    cancel_reason: str | None = None


class RunEngine:
    """The runs of one agent replica: graphs, and the gateway of each, by name.

    `prompts` are asked for at the start of every run, so they can change live.
    """

    def __init__(
        self,
        *,
        runs: RunStore,
        graphs: Mapping[str, Graph],
        gateways: Mapping[str, Gateway],
        guard: Guard,
        observer: RunObserver,
        prompts: Callable[[str], Mapping[str, str]],
        limits: EngineLimits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._runs = runs
        self._recorder = RunRecorder(runs, retry_s=limits.record_retry_s, sleep=sleep)
        self._graphs = graphs
        self._gateways = gateways
        self._guard = guard
        self._observer = observer
        self._prompts = prompts
        self._limits = limits
        self._clock = clock
        self._executions: dict[UUID, _Execution] = {}
        self._detached: set[UUID] = set()
        self._readers = 0

    @property
    def active(self) -> int:
        """Runs that are executing, read by somebody or not."""
        return len(self._executions)

    @property
    def detached(self) -> int:
        """Runs that are executing and that nobody reads: work that Serve does not see in its request count."""
        return len(self._detached)

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
        if execution is None or execution.watch is None:
            return
        self._stop(execution, reason)
        await asyncio.wait([execution.watch])

    async def drain(self, timeout_s: float) -> None:
        """Wait for the runs to end, then stop those that are left. For a replica that is asked to stop.

        Ends that could not be stored are tried for a last time.
        """
        executions = list(self._executions.values())
        watches = [execution.watch for execution in executions if execution.watch is not None]
        if watches:
            await asyncio.wait(watches, timeout=timeout_s)
            for execution in executions:
                self._stop(execution, SHUTDOWN)
            await asyncio.wait(watches)
        await self._recorder.last_try()

    def _begin(self, run: Run, deadline: Deadline) -> _Execution:
        loop = asyncio.get_running_loop()
        limits = self._limits
        buffer = EventBuffer(
            attempt=1,
            window_s=self.window_s,
            max_chars=limits.max_buffered_chars,
            first_batch_wait_s=limits.first_batch_wait_s,
            clock=self._clock,
        )
        gateway = self._gateways.get(run.graph) or Gateway(())
        model = gateway.bind(buffer, deadline)
        context = RunContext(
            run=run,
            model=model,
            events=buffer,
            guard=self._guard,
            deadline=deadline,
            prompts=self._prompts(run.graph),
        )
        execution = _Execution(
            run=run,
            buffer=buffer,
            model=model,
            deadline=deadline,
            started_at=self._clock(),
            # An empty context: whatever is started in a request's context, Serve cancels with the request.
            work=loop.create_task(self._work(context), context=contextvars.Context()),
        )
        buffer.emit(RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph))
        self._executions[run.id] = execution
        execution.watch = loop.create_task(self._watch(execution), context=contextvars.Context())
        return execution

    def _detach(self, execution: _Execution) -> None:
        self._detached.add(execution.run.id)
        execution.buffer.detach()
        if execution.run.on_disconnect is not OnDisconnect.CONTINUE:
            loop = asyncio.get_running_loop()
            loop.call_later(self._limits.orphan_grace_s, self._stop, execution, "orphaned")

    def _stop(self, execution: _Execution, reason: str) -> None:
        if execution.cancel_reason is None and not execution.work.done():
            execution.cancel_reason = reason
            execution.work.cancel()

    async def _work(self, context: RunContext) -> GraphResult:
        """Let the graph run, within the deadline. Raises whatever it raises."""
        try:
            async with asyncio.timeout(context.deadline.remaining_s()) as limit:
                return await self._graph(context.run).invoke(context)
        except TimeoutError:
            if not limit.expired():
                raise  # a node's own
            raise DeadlineExceeded("The run reached its time limit.") from None

    async def _watch(self, execution: _Execution) -> None:
        await asyncio.wait([execution.work])
        await self._record(execution, self._outcome(execution))

    def _graph(self, run: Run) -> Graph:
        try:
            return self._graphs[run.graph]
        except KeyError:
            raise NotFound(f"This replica does not serve the graph {run.graph!r}.") from None

    def _outcome(self, execution: _Execution) -> RunOutcome:
        """Say how the graph ended."""
        work = execution.work
        if work.cancelled():
            return self._unfinished(execution, _STOPPED.get(execution.cancel_reason))
        error = work.exception()
        if error is None:
            return self._finished(execution, work.result())
        if isinstance(error, MainstayError):
            return self._unfinished(execution, error)
        logger.error("run %s failed in graph %s", execution.run.id, execution.run.graph, exc_info=error)
        return self._unfinished(execution, InternalError("The agent failed. It has been logged."))

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

    def _unfinished(self, execution: _Execution, error: MainstayError | None) -> RunOutcome:
        """The outcome of a run that did not reach its end, cancelled or failed: what it had already said is kept."""
        model = execution.model
        said = model.answer_text
        return RunOutcome(
            status=RunStatus.CANCELLED if error is None else RunStatus.FAILED,
            messages=(Message(role="assistant", content=said),) if said else (),
            usage=model.usage,
            provider=model.provider,
            model=model.model,
            failure=None if error is None else error.to_failure(),
        )

    async def _record(self, execution: _Execution, outcome: RunOutcome) -> None:
        """Commit the outcome, then send the terminal event, so that nobody is told of an end that is not stored."""
        run = execution.run
        shown = await self._recorder.record(run, outcome)
        duration_s = self._clock() - execution.started_at
        del self._executions[run.id]
        self._detached.discard(run.id)
        execution.buffer.emit(_terminal(execution, shown, duration_s))
        first = execution.buffer.first_text_at
        first_text_s = None if first is None else first - execution.started_at
        self._observer.run_ended(run, shown, RunTimes(duration_s=duration_s, first_text_s=first_text_s))


_STOPPED: Mapping[str | None, MainstayError] = {
    SHUTDOWN: AgentLost("The replica was shut down before the run ended. Send the request again."),
    OUT_OF_TIME: DeadlineExceeded("The run reached its time limit."),
}
"""Reasons to stop a run that are failures; for any other it was cancelled."""


def _terminal(execution: _Execution, outcome: RunOutcome, duration_s: float) -> TerminalEvent:
    if outcome.failure is not None:
        partial = bool(execution.model.answer_text)
        return RunFailed(failure=outcome.failure, partial=partial, usage=outcome.usage, duration_s=duration_s)
    if outcome.status is RunStatus.CANCELLED:
        reason = execution.cancel_reason or "cancelled"
        return RunCancelled(reason=reason, usage=outcome.usage, duration_s=duration_s)
    return RunCompleted(finish_reason=outcome.finish_reason or "stop", usage=outcome.usage, duration_s=duration_s)
