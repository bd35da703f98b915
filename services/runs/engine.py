"""The runs of one agent replica: take each from the store, let its graph run, log and stream its events, record its end.

A run lives in a task of its own, not in the response that shows it. Losing the reader is a *detach*: the run goes on for
`orphan_grace_s`, or as long as somebody reads its log, or to its end if its policy is to continue. Only a cancellation, the
deadline, or the end of that grace stops it. Exactly one terminal event ends its log, stored together with the outcome
before anybody sees it, by a task that nobody cancels.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

from services.errors import AgentLost, MainstayError, RunSuperseded
from services.events import TerminalEvent
from services.guard import Guard
from services.guardrails.screen.output import OutputScreen
from services.limits.purse import BOTTOMLESS, Purse
from services.llm.gateway import Gateway
from services.runs.buffer import EventBuffer, Timer, call_later
from services.runs.deadline import Deadline
from services.runs.execution import Execution, opening
from services.runs.graph_work import GraphWork, error_of
from services.runs.log_writer import LogPolicy, LogRow, LogWriter
from services.runs.multiplex import Frame, Multiplexer
from services.runs.orphans import Orphans
from services.runs.ports import OwnedRuns
from services.runs.recorder import RunRecorder
from services.runs.run_spans import RunSpan
from services.runs.types import Graph
from services.telemetry import genai
from services.telemetry.log_context import LogContext, empty_context
from services.telemetry.tracing import NOT_TRACING, Tracer
from services.types import Claim, Fence, Run, RunOutcome, RunTicket

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """Seconds since the run began in its replica; `first_text_s` is None for a run that said nothing."""

    duration_s: float
    first_text_s: float | None


class RunObserver(Protocol):
    """Told once of every run that ended, after its record: for samples, metrics and bills. Must neither wait nor raise."""

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """`flushes_per_s` is what one replica spends on event batches, shared by its streams: see `RunEngine.window_s`.

    A run that fails within `first_batch_wait_s` without having shown anything fails as an HTTP status, not as an event.
    """

    orphan_grace_s: float = 5.0
    max_buffered_chars: int = 65_536
    max_flush_window_s: float = 0.15
    flushes_per_s: float = 650.0
    first_batch_wait_s: float = 0.25
    record_tries: int = 10
    record_retry_s: float = 0.5


class RunEngine:
    """The runs of one agent replica, which holds `lease`: graphs, and the gateway of each, by name.

    `prompts` and their version are asked for at the start of every run, so they can change live; so is what pays for its model
    calls. What a run says passes `screen`, which is the default policy's unless another is given.
    """

    def __init__(
        self,
        *,
        runs: OwnedRuns,
        lease: UUID,
        graphs: Mapping[str, Graph],
        gateways: Mapping[str, Gateway],
        guard: Guard,
        observers: Sequence[RunObserver],
        prompts: Callable[[str], Mapping[str, str]],
        prompt_version: Callable[[str], str] = lambda _: "",
        limits: EngineLimits,
        purses: Callable[[Claim], Purse] = lambda _: BOTTOMLESS,
        screen: OutputScreen | None = None,
        log: LogPolicy | None = None,
        tracer: Tracer = NOT_TRACING,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._runs = runs
        self._lease = lease
        self._log = LogWriter(runs, log or LogPolicy(), refused=self._refused, clock=clock, call_later=call_later)
        self._recorder = RunRecorder(runs, tries=limits.record_tries, retry_s=limits.record_retry_s, sleep=sleep)
        self._graph_work = GraphWork(graphs=graphs, guard=guard)
        self._screen = screen or OutputScreen()
        self._tracer = tracer
        self._prompts = prompts
        self._prompt_version = prompt_version
        self._orphans = Orphans(runs, grace_s=limits.orphan_grace_s, call_later=call_later, spawn=self._spawn)
        self._multiplexer = Multiplexer()
        self._gateways = gateways
        self._purses = purses
        self._observers = tuple(observers)
        self._limits = limits
        self._clock = clock
        self._call_later = call_later
        self._executions: dict[Fence, Execution] = {}
        self._taking: set[UUID] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._readers = 0

    @property
    def active(self) -> int:
        """Runs that are executing, read by somebody or not."""
        return len(self._executions)

    @property
    def background(self) -> int:
        """Background runs that are executing."""
        return sum(execution.run.background for execution in self._executions.values())

    @property
    def detached(self) -> int:
        """Runs that are executing and that nobody reads here: work that Serve does not see in its request count."""
        return sum(not execution.read for execution in self._executions.values())

    @property
    def log_lag_s(self) -> float:
        """How old the oldest event is that a run has emitted and the log has not stored; 0 where there is none."""
        return self._log.lag_s

    @property
    def at_work(self) -> Collection[Run]:
        """The runs that are executing."""
        return [execution.run for execution in self._executions.values()]

    @property
    def held(self) -> Collection[UUID]:
        """The runs that this replica knows to be its own. Any other that the store takes for its own is nobody's."""
        return {fence.run_id for fence in self._executions}.union(self._taking, self._recorder.unsettled)

    def window_s(self) -> float:
        """The least time between two batches of one stream: streams / flushes_per_s, at most `max_flush_window_s`."""
        return min(self._limits.max_flush_window_s, self._readers / self._limits.flushes_per_s)

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[Frame, None]:
        """Take a stored run and yield its batches, with those of the reader's other runs here. Closing the iterator detaches.

        Raises NotFound and StoreUnavailable, and AgentLost (RunSuperseded, when another replica has it) once the run does not
        go on here: what becomes of it is in its log.
        """
        taking = self._spawn(self._take(ticket))
        try:
            execution = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The store may have given us the run already, so it is begun, and begins without its reader.
            taking.add_done_callback(self._begun_unread)
            raise
        self._readers += 1
        try:
            may_show = partial(self._log.may_show_text, execution.log)
            with self._multiplexer.sharing(ticket, execution.buffer, may_show):
                async with aclosing(execution.buffer.batches()) as batches:
                    async for batch in batches:
                        if not batch.terminal:
                            await self._log.may_show(execution.log, batch)
                        yield self._multiplexer.frame(ticket, batch)
        finally:
            self._readers -= 1
            self._detach(execution)

    def adopt(self, claim: Claim) -> "asyncio.Task[None]":
        """Go on with a run that this replica has taken for itself. Whoever wants to see it reads its log.

        The task returned is done when the run has ended here; nobody may cancel it.
        """
        execution = self._begin(claim, claim.remaining_s)
        self._detach(execution)
        self._log.flush(execution.log)
        return execution.watch

    def stop(self, run_id: UUID, reason: str) -> None:
        """Cancel a run of this replica; any other is left alone. Its end is recorded, and then told to its reader."""
        for execution in self._of(run_id):
            execution.stop(reason)

    async def drain(self, timeout_s: float) -> None:
        """Wait for the runs to end, then give up those that are left, for other replicas to go on with.

        For a replica that is asked to stop, and then releases its lease. What could not be stored is tried a last time.
        """
        await self._ended(timeout_s)
        for execution in self._executions.values():
            execution.give_up()
        await self._ended(None)
        await self._log.close()
        await self._recorder.last_try()

    async def _ended(self, timeout_s: float | None) -> None:
        watches = [execution.watch for execution in self._executions.values()]
        if watches:
            await asyncio.wait(watches, timeout=timeout_s)

    async def _take(self, ticket: RunTicket) -> Execution:
        self._taking.add(ticket.run_id)
        try:
            claim = await self._runs.claim(ticket.run_id, self._lease)
            return self._begin(claim, min(ticket.remaining_s, claim.remaining_s))
        finally:
            self._taking.discard(ticket.run_id)

    def _begun_unread(self, taking: "asyncio.Task[Execution]") -> None:
        if not taking.cancelled() and taking.exception() is None:
            self._detach(taking.result())

    def _begin(self, claim: Claim, remaining_s: float) -> Execution:
        run, limits = claim.run, self._limits
        for earlier in self._of(run.id):  # lost to another replica, which was lost too, before this one has noticed
            superseded = RunSuperseded(f"Attempt {earlier.fence.attempt} of run {run.id} was taken over.")
            self._log.leave(earlier.log, superseded)
            earlier.fail(superseded)
        deadline = Deadline.after(remaining_s, self._clock)
        buffer = EventBuffer(
            attempt=run.attempt,
            window_s=self.window_s,
            max_chars=limits.max_buffered_chars,
            first_batch_wait_s=limits.first_batch_wait_s,
            answer_chars=0 if claim.progress is None else len(claim.progress.said),
            clock=self._clock,
            call_later=self._call_later,
        )
        gateway, prompts = self._gateways.get(run.graph) or Gateway(()), self._prompts(run.graph)
        span = RunSpan.begin(self._tracer, claim)
        screen = self._screen.open(run, prompts, buffer.emit, buffer)
        buffer.screen = screen.event
        execution = Execution(
            claim=claim,
            buffer=buffer,
            log=self._log.open(claim.fence, buffer),
            model=gateway.bind(
                buffer,
                deadline,
                progress=claim.progress,
                purse=self._purses(claim),
                screen=screen,
                trace=span.trace,
            ),
            screen=screen,
            prompts=prompts,
            prompt_version=self._prompt_version(run.graph),
            started_at=self._clock(),
            span=span,
        )
        for event in opening(claim):
            buffer.emit(event)
        self._executions[claim.fence] = execution
        about = LogContext.of(run, span.trace.trace_id)
        execution.work = self._spawn(self._graph_work.do(execution, deadline), about)
        execution.watch = self._spawn(self._watch(execution), about)
        return execution

    def _of(self, run_id: UUID) -> list[Execution]:
        return [execution for execution in self._executions.values() if execution.id == run_id]

    def _spawn(self, work: Coroutine[Any, Any, ResultT], about: LogContext | None = None) -> "asyncio.Task[ResultT]":
        """Start a task that no request owns: whatever is started in a request's context, Serve cancels with it."""
        task = asyncio.get_running_loop().create_task(work, context=empty_context(about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _detach(self, execution: Execution) -> None:
        """Nobody takes the run's batches any more. It is stopped when nobody reads its log either."""
        execution.read = False
        execution.buffer.detach()
        if execution.fence in self._executions and execution.needs_a_reader:
            self._orphans.look_after(execution)

    def _refused(self, fence: Fence, error: MainstayError) -> None:
        """The log takes nothing more of a run: somebody else has it, or has ended it, or what it said cannot be stored."""
        if fence in self._executions:
            self._executions[fence].fail(error)

    async def _watch(self, execution: Execution) -> None:
        """Wait for the graph, record how it ended, and only then tell the reader."""
        bug = AgentLost("The end of the run could not be recorded. It has been logged.")
        ending: TerminalEvent | MainstayError = bug
        try:
            await asyncio.wait([execution.work])
            execution.buffer.close()
            if execution.cut_off:
                ending = AgentLost("The replica was shut down before the run ended.")
            else:
                ending = await self._record(execution)
        except RunSuperseded as superseded:
            self._log.leave(execution.log, superseded)
            ending = superseded
        finally:
            if ending is bug:  # it is raised here, and must not leave the reader waiting
                self._log.leave(execution.log, bug)
            del self._executions[execution.fence]
            execution.buffer.end(ending)
            execution.span.left(ending if isinstance(ending, MainstayError) else None)

    async def _record(self, execution: Execution) -> TerminalEvent | MainstayError:
        """Store the outcome with the last events, and return how the reader's stream is to end. Raises RunSuperseded."""
        outcome = await execution.judged(execution.outcome(error_of(execution)))
        execution.screen.close(execution.run)
        execution.span.decided(execution.screen.decisions.found)
        duration_s = self._clock() - execution.started_at
        tail = self._log.tail(execution.log)

        def rows(outcome: RunOutcome) -> tuple[LogRow, ...]:
            return tail.ending_with(execution.terminal(outcome, duration_s))

        with execution.span.trace.begin(genai.RECORD_END, {}):
            recorded = await self._recorder.record(execution.claim, outcome, rows, execution.last)
        first = execution.buffer.first_text_at
        first_text_s = None if first is None else first - execution.started_at
        times = RunTimes(duration_s=duration_s, first_text_s=first_text_s)
        for observer in self._observers:
            observer.run_ended(execution.run, recorded.outcome, times)
        execution.span.ended(recorded.outcome)
        if tail.lost or not recorded.logged:
            # What the reader has not seen is in no log, so it is not shown: the reader is sent to the record.
            ended = AgentLost("The run has ended, and its record says how.")
            self._log.leave(execution.log, ended)
            return ended
        execution.log.settle()
        return execution.terminal(recorded.outcome, duration_s)
