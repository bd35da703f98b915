"""A run as the ingress sees it: take it in, start it or queue it, read its events, and say what a hang-up means.

Before the first event a failure is raised (and becomes an HTTP status); after it, it is an event. That is why `start`
waits for the first event before it returns.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

from services.errors import AgentLost, DeadlineExceeded, EventsMissing, MainstayError, NotFound, StoreUnavailable
from services.events import EventBatch
from services.guard import Guard
from services.resilience.priority import Priority
from services.runs.buffer import call_later
from services.runs.deadline import CallLater, Clock, TimeLimit
from services.runs.following import LogFollower
from services.runs.intake import Intake, record_failure
from services.runs.live_run import JoinedRun, LiveRun, ReadRun
from services.runs.ports import Admission, Agent, Created, RunStore
from services.telemetry import genai
from services.telemetry.log_context import empty_context, work_for_run
from services.telemetry.spans import UNTRACED, Trace
from services.types import CancelAction, EventId, OnDisconnect, Principal, Run, RunRequest, RunStatus, RunTicket

logger = logging.getLogger(__name__)

CLIENT_DISCONNECTED = "client_disconnected"
REQUESTED = "requested"
"""The reason of a run that its user cancelled."""
RECORD_WAIT_S = 1.0
"""How long a client whose run has failed waits for that to be stored: as a rule milliseconds, never for a dead database."""


class RunService:
    """The life of a run up to the agent. One per ingress replica.

    `max_run_s` is the longest time a request may ask for. `admit` raises Overloaded for work that this replica has no
    strength for; `admission` is what the run's user and tenant may ask for.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        runs: RunStore,
        log: LogFollower,
        guard: Guard,
        graphs: Collection[str],
        max_run_s: float,
        new_id: Callable[[], UUID],
        admission: Admission,
        admit: Callable[[Priority], None] = lambda _: None,
        clock: Clock = time.monotonic,
        call_later: CallLater = call_later,
    ) -> None:
        self._agent = agent
        self._runs = runs
        self._log = log
        self._intake = Intake(runs=runs, guard=guard, graphs=graphs, max_run_s=max_run_s, new_id=new_id)
        self.max_run_s = max_run_s
        self._admission = admission
        self._admit_work = admit
        self._clock = clock
        self._call_later = call_later
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, principal: Principal, request: RunRequest, trace: Trace = UNTRACED) -> ReadRun:
        """Take a run in and return it once its first event is there, or at once if it waits for its thread.

        The run's time counts from here: screening, storing and waiting for a replica are part of it. Whoever gets the run
        closes it, and has hung up if it has not ended then. A request that came before, with the same idempotency key, is
        given the run of that time, which its hang-up does not touch. Raises UnknownModel, ContentBlocked, NotFound,
        ThreadBusy, IdempotencyMismatch, RateLimitExceeded, ConcurrencyLimitExceeded, Overloaded, GuardrailUnavailable,
        StoreUnavailable, and DeadlineExceeded when the time is up before the first event. A run that was stored and then
        refused is recorded as failed. A caller that is cancelled meanwhile has hung up, and the run's policy decides what
        becomes of the run.
        """
        self._admit_work(Priority.NEW_TURN)
        run = self._run_of(principal, request, trace)
        live = LiveRun(run=run, limit=self._time_limit(run.timeout_s or self.max_run_s), endings=self, trace=trace)
        # In a task of its own, with an empty context: Serve cancels what runs in a request's context when the client
        # leaves, and a run that is to continue must get as far as its agent.
        beginning = self._spawn(self._begin(live, request))
        try:
            created = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._spawn(self._leave_early(live, beginning))
            raise
        if created.existing:
            live.limit.stop()
            joined = await self.join(principal, created.run_id)
            work_for_run(joined.run)
            await joined.raise_failed_at_once()
            return joined
        return live

    async def submit(self, principal: Principal, request: RunRequest, trace: Trace = UNTRACED) -> Run:
        """Take a background run in and return it as it stands: queued, or what an earlier request with its key became.

        Raises what `start` raises before there is an event.
        """
        self._admit_work(Priority.BACKGROUND)
        run = self._run_of(principal, request, trace)
        await self._admitted(run, trace)
        with self._granted(run) as stored:
            run = await self._screen(run, nullcontext(), trace)
            with trace.begin(genai.STORE_RUN, {}):
                created = await self._runs.create(run, request.submission)
            stored(created)
        return await self._runs.get(principal, created.run_id)

    async def join(self, principal: Principal, run_id: UUID, after: EventId | None = None) -> JoinedRun:
        """Return a run of the principal's for reading, whoever began it, from behind the event `after`.

        Raises NotFound and StoreUnavailable.
        """
        run = await self._runs.get(principal, run_id)
        joined = JoinedRun(run=run, stream=self._log.follow(run_id, after, going_on=not run.status.ended))
        if run.status.ended:
            await joined.look()
        return joined

    async def wait(self, principal: Principal, run_id: UUID) -> Run:
        """Return a run of the principal's once it has ended. Raises NotFound and StoreUnavailable."""
        async with aclosing(self._log.follow((await self._runs.get(principal, run_id)).id)) as batches:
            async for _ in batches:
                pass
        return await self._runs.get(principal, run_id)

    async def cancel(self, principal: Principal, run_id: UUID, action: CancelAction) -> None:
        """Have a run stopped; one that has ended stays as it is. Its owner stops it within moments: join it to wait for that.

        Raises NotFound and StoreUnavailable.
        """
        await self._runs.get(principal, run_id)
        await self._runs.cancel(run_id, action, REQUESTED)

    async def _begin(self, live: LiveRun, request: RunRequest) -> Created:
        """Admit, screen, store and start a run, within its time."""
        begun = False
        try:
            with live.limit:
                await self._admitted(live.run, live.trace)
            with self._granted(live.run) as stored:
                live.run = await self._screen(live.run, live.limit, live.trace)
                created = await self._take_in(live, request, stored)
            begun = True
        finally:
            if not begun:
                live.limit.stop()
        return created

    def _run_of(self, principal: Principal, request: RunRequest, trace: Trace) -> Run:
        run = self._intake.run_of(principal, request, trace.handed_on)
        trace.of(run.id)
        work_for_run(run)
        return run

    async def _admitted(self, run: Run, trace: Trace) -> None:
        """Have a run granted what it needs, or raise.

        Asking is not broken off, and what somebody was granted who has left meanwhile is given back.
        """
        asking = self._spawn(self._admission.admit(run))
        try:
            with trace.begin(genai.ADMISSION, {}):
                await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(partial(self._give_back, run))
            raise

    def _give_back(self, run: Run, asking: "asyncio.Task[None]") -> None:
        if not asking.cancelled() and asking.exception() is None:
            self._spawn(self._admission.unused(run))

    @contextmanager
    def _granted(self, run: Run) -> Iterator[Callable[[Created], None]]:
        """Give back what an admitted run does not need, by what it is told was stored. From then on its agent sees to it."""
        became: Created | None = None

        def stored(created: Created) -> None:
            nonlocal became
            became = created

        try:
            yield stored
        finally:
            if became is None or became.existing:
                self._spawn(self._admission.unused(run))
            elif became.status is RunStatus.QUEUED:
                self._spawn(self._admission.idle(run))

    async def _screen(self, run: Run, limit: AbstractContextManager[None], trace: Trace) -> Run:
        """Ask the guard, within a limit, and return the run. One that it does not let through is recorded as failed."""
        try:
            with trace.begin(genai.INPUT_GUARD, {}), limit:
                screened = await self._intake.screen(run)
        except MainstayError as error:
            trace.keep()
            await self._in_time(run, self._intake.refuse(run, error))
            raise
        if screened.flagged:
            trace.keep()
        return screened

    async def _take_in(self, live: LiveRun, request: RunRequest, stored: Callable[[Created], None]) -> Created:
        try:
            with live.limit:
                with live.trace.begin(genai.STORE_RUN, {}):
                    created = await self._runs.create(live.run, request.submission)
                stored(created)
                if not created.existing:
                    await self._launch(live, created)
        except DeadlineExceeded as error:
            if live.limit.passed:
                await self._in_time(live.run, record_failure(self._runs, live.run, error))
            raise
        return created

    async def _launch(self, live: LiveRun, created: Created) -> None:
        """Start a run that is stored, or wait for its turn. A refusal is recorded as its end."""
        run = live.run
        if created.status is RunStatus.QUEUED:
            live.go_on_with(self._log.follow(run.id, going_on=True))
            return
        try:
            with live.trace.begin(genai.FIRST_EVENT, {}):
                await live.open(self._events(run, live.limit.remaining_s()))
        except MainstayError as error:
            live.trace.keep()
            self._spawn(self._admission.idle(run))
            await record_failure(self._runs, run, error)
            raise

    async def _events(self, run: Run, remaining_s: float) -> AsyncGenerator[EventBatch, None]:
        """Yield a run's events: from the agent that takes it as long as that stream holds, then from the log.

        A stream that breaks says nothing of the run: its agent may be alive, and where it is not another one goes on.
        """
        last: EventId | None = None
        try:
            async with aclosing(self._agent.execute(RunTicket(run_id=run.id, remaining_s=remaining_s))) as stream:
                async for batch in stream:
                    last = batch.last
                    yield batch
                    if batch.terminal:
                        return
        except EventsMissing as error:
            logger.info("run %s: its log is read: %s", run.id, error)
        except (AgentLost, NotFound) as error:
            logger.info("run %s: its agent's stream broke (%s), and its log is read", run.id, error.code)
            await self._suspect(run)
        else:
            await self._suspect(run)
        async with aclosing(self._log.follow(run.id, last, going_on=last is not None)) as log:
            async for batch in log:
                yield batch

    async def _suspect(self, run: Run) -> None:
        try:
            await self._runs.suspect(run.id)
        except StoreUnavailable as error:
            logger.warning("run %s: that its stream broke could not be told: %s", run.id, error)

    async def _leave_early(self, live: LiveRun, beginning: "asyncio.Task[Created]") -> None:
        """The client left before the first event."""
        if live.run.on_disconnect is OnDisconnect.CANCEL:
            beginning.cancel()
        await asyncio.wait([beginning])
        if beginning.cancelled() or beginning.exception() is None:
            await live.aclose()

    def _time_limit(self, seconds: float) -> TimeLimit:
        return TimeLimit(seconds, clock=self._clock, call_later=self._call_later)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start a task that no request owns, and keep it until it ends."""
        task = asyncio.get_running_loop().create_task(work, context=empty_context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def hang_up(self, run: Run) -> None:
        """Have the run stopped, when its policy is to stop then."""
        if run.on_disconnect is OnDisconnect.CANCEL:
            self._spawn(self._stop(run))

    async def _stop(self, run: Run) -> None:
        try:
            await self._runs.cancel(run.id, CancelAction.INTERRUPT, CLIENT_DISCONNECTED)
        except StoreUnavailable as error:
            logger.warning("run %s: the hang-up could not be told, its agent will miss its reader: %s", run.id, error)

    def run_out(self, run: Run, error: MainstayError, said: str) -> "asyncio.Task[None]":
        """End a run whose time is up. The task returned is done once that is recorded, or after RECORD_WAIT_S."""
        return self._spawn(self._in_time(run, record_failure(self._runs, run, error, said)))

    async def _in_time(self, run: Run, record: Coroutine[Any, Any, None]) -> None:
        """Record the end of a run, and wait for that for RECORD_WAIT_S: what an agent writes of it from then on is refused."""
        recording = self._spawn(record)
        limit = self._time_limit(RECORD_WAIT_S)
        try:
            with limit:
                await asyncio.wait([recording])
        except DeadlineExceeded:
            logger.warning("run %s: the store does not take its end in time, and is not waited for", run.id)
        finally:
            limit.stop()

    async def settled(self) -> None:
        """Wait until what goes on without a request is done: for shutdown and for tests."""
        while self._tasks:
            await asyncio.wait(self._tasks)
