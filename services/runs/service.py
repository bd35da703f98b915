"""A run as the ingress sees it: admit it, start it, read its events, and say what a hang-up means.

Before the first event a failure is raised (and becomes an HTTP status); after it, it is an event. That is why `start`
waits for the first event before it returns.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any
from uuid import UUID

from services.errors import ContentBlocked, DeadlineExceeded, MainstayError, StoreUnavailable, UnknownModel
from services.resilience.priority import Priority
from services.runs.buffer import call_later
from services.runs.deadline import OUT_OF_TIME, CallLater, Clock, TimeLimit
from services.runs.live_run import STREAM_LOST, LiveRun
from services.runs.ports import Agent, RunStore
from services.types import (
    Action,
    Guard,
    Message,
    OnDisconnect,
    Principal,
    Run,
    RunOutcome,
    RunRequest,
    RunStatus,
    RunTicket,
    Stage,
    Usage,
)

logger = logging.getLogger(__name__)

CLIENT_DISCONNECTED = "client_disconnected"
RECORD_WAIT_S = 1.0
"""How long a client whose time is up waits for that to be stored: as a rule milliseconds, never for a dead database."""


class RunService:
    """The life of a run up to the agent. One per ingress replica.

    `max_run_s` is the longest time a request may ask for. `admit` raises Overloaded for work that this replica has no
    strength for.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        runs: RunStore,
        guard: Guard,
        graphs: Collection[str],
        max_run_s: float,
        new_id: Callable[[], UUID],
        admit: Callable[[Priority], None] = lambda _: None,
        clock: Clock = time.monotonic,
        call_later: CallLater = call_later,
    ) -> None:
        self._agent = agent
        self._runs = runs
        self._guard = guard
        self._graphs = frozenset(graphs)
        self.max_run_s = max_run_s
        self._new_id = new_id
        self._admit_work = admit
        self._clock = clock
        self._call_later = call_later
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, principal: Principal, request: RunRequest) -> LiveRun:
        """Admit, store and start a run; return it once its first event is there. Whoever gets the LiveRun closes it.

        The run's time counts from here: storing, screening and waiting for a replica are part of it. Raises UnknownModel,
        ContentBlocked, NotFound, ThreadBusy, Overloaded, AgentLost, GuardrailUnavailable, StoreUnavailable, and
        DeadlineExceeded when the time is up before the first event. A run that was stored and then refused is recorded
        as failed. A caller that is cancelled meanwhile has hung up, and the run's policy decides what becomes of the run.
        """
        self._admit_work(Priority.NEW_TURN)
        run = self._admit(principal, request)
        timeout_s = self.max_run_s if request.timeout_s is None else min(request.timeout_s, self.max_run_s)
        live = LiveRun(run=run, limit=self._time_limit(timeout_s), endings=self)
        # In a task of its own, with an empty context: Serve cancels what runs in a request's context when the client
        # leaves, and a run that is to continue must get as far as its agent.
        beginning = self._spawn(self._begin(live))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._spawn(self._leave_early(live, beginning))
            raise
        return live

    async def _begin(self, live: LiveRun) -> None:
        """Store, screen and start a run, within its time."""
        begun = False
        try:
            with live.limit:
                await self._runs.create(live.run)
                await self._launch(live)
            begun = True
        except DeadlineExceeded as error:
            if live.limit.passed:
                await self._run_out(live.run, error, asked=live.asked)
            raise
        finally:
            if not begun:
                live.limit.stop()

    async def _launch(self, live: LiveRun) -> None:
        """Screen and start a run that is stored. A refusal is recorded as its end."""
        run = live.run
        try:
            await self._screen(run)
            await live.open(self._agent.execute(RunTicket(run_id=run.id, remaining_s=live.limit.remaining_s())))
        except MainstayError as error:
            await self.record_failure(run, error)
            raise

    async def _leave_early(self, live: LiveRun, beginning: "asyncio.Task[None]") -> None:
        """The client left before the first event."""
        if live.run.on_disconnect is OnDisconnect.CANCEL:
            beginning.cancel()
        await asyncio.wait([beginning])
        if beginning.cancelled() or beginning.exception() is None:
            await live.aclose()

    def _time_limit(self, seconds: float) -> TimeLimit:
        return TimeLimit(seconds, clock=self._clock, call_later=self._call_later)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task that no request owns, and keep it until it ends."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _admit(self, principal: Principal, request: RunRequest) -> Run:
        if request.graph not in self._graphs:
            known = ", ".join(sorted(self._graphs))
            raise UnknownModel(f"There is no model {request.graph!r}. Choose one of: {known}.", param="model")
        return Run(
            id=self._new_id(),
            thread_id=request.thread_id or self._new_id(),
            new_thread=request.thread_id is None,
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            graph=request.graph,
            status=RunStatus.PENDING,
            messages=request.messages,
            ephemeral=request.ephemeral,
            options=request.options,
            on_disconnect=request.on_disconnect,
            metadata=request.metadata,
        )

    async def _screen(self, run: Run) -> None:
        """Refuse a run whose input the guard does not let through as it is: nobody may rewrite what a user said."""
        verdict = await self._guard.check([message.content for message in run.messages], Stage.INPUT)
        if verdict.action is not Action.ALLOW:
            raise ContentBlocked(verdict.message or "The message was refused by a guardrail.", param="messages")

    async def record_failure(self, run: Run, error: MainstayError, said: str = "") -> None:
        """Record that a run failed before, or without, its agent. What the store cannot take now is left to its sweep.

        `said` is what its client was shown of the answer; it is kept unless the agent has recorded its own.
        """
        messages = (Message(role="assistant", content=said),) if said else ()
        outcome = RunOutcome(status=RunStatus.FAILED, messages=messages, usage=Usage(), failure=error.to_failure())
        try:
            await self._runs.finish(run, outcome)
        except StoreUnavailable as unavailable:
            logger.warning("run %s: its failure could not be recorded: %s", run.id, unavailable)

    def hang_up(self, run: Run) -> None:
        """Tell the agent that the client is gone, when the run's policy is to stop then."""
        if run.on_disconnect is OnDisconnect.CANCEL:
            self._spawn(self._cancel(run))

    async def _cancel(self, run: Run) -> None:
        await self.stop(run, CLIENT_DISCONNECTED)
        try:
            # The agent records what it ran; this only settles a run that no agent had begun.
            await self._runs.finish(run, RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage()))
        except StoreUnavailable as error:
            logger.warning("run %s: the hang-up could not be recorded: %s", run.id, error)

    async def lose(self, run: Run, error: MainstayError, said: str) -> None:
        """Stop a run whose stream broke, and close it if no agent is left to do so."""
        await self.stop(run, STREAM_LOST)
        await self.record_failure(run, error, said)

    def run_out(self, run: Run, error: MainstayError, said: str) -> "asyncio.Task[None]":
        """End a run whose time is up. The task returned is done once that is recorded, or after RECORD_WAIT_S."""
        return self._spawn(self._run_out(run, error, said, asked=True))

    async def _run_out(self, run: Run, error: MainstayError, said: str = "", *, asked: bool) -> None:
        """Record first, then tell the agent: told first, it would close the run as merely cancelled."""
        recording = self._spawn(self.record_failure(run, error, said))
        limit = self._time_limit(RECORD_WAIT_S)
        try:
            with limit:
                await asyncio.wait([recording])
        except DeadlineExceeded:
            logger.warning("run %s: its time is up, and the store does not take that in time", run.id)
        finally:
            limit.stop()
        if asked:
            self._spawn(self.stop(run, OUT_OF_TIME))

    async def stop(self, run: Run, reason: str) -> None:
        """Have the agents stop a run, as far as they can be reached: an orphan ends by itself after its grace."""
        try:
            await self._agent.cancel(run.id, reason)
        except MainstayError as error:
            logger.warning("run %s could not be stopped: %s", run.id, error)

    async def settled(self) -> None:
        """Wait until what goes on without a request is done: for shutdown and for tests."""
        while self._tasks:
            await asyncio.wait(self._tasks)
