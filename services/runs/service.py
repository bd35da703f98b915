"""A run as the ingress sees it: admit it, start it, read its events, and say what a hang-up means.

Before the first event a failure is raised (and becomes an HTTP status); after it, it is an event. That is why `start`
waits for the first event before it returns.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from typing import Any
from uuid import UUID

from services.errors import AgentLost, ContentBlocked, MainstayError, StoreUnavailable, UnknownModel
from services.runs.ports import Agent, RunStore
from services.types import (
    Action,
    EventBatch,
    Guard,
    OnDisconnect,
    Principal,
    Run,
    RunFailed,
    RunOutcome,
    RunRequest,
    RunStatus,
    RunTicket,
    Stage,
    TextDelta,
    Usage,
)

logger = logging.getLogger(__name__)

CLIENT_DISCONNECTED = "client_disconnected"
STREAM_LOST = "stream_lost"


class RunService:
    """The life of a run up to the agent. One per ingress replica."""

    def __init__(
        self,
        *,
        agent: Agent,
        runs: RunStore,
        guard: Guard,
        graphs: Collection[str],
        max_run_s: float,
        new_id: Callable[[], UUID],
    ) -> None:
        self._agent = agent
        self._runs = runs
        self._guard = guard
        self._graphs = frozenset(graphs)
        self._max_run_s = max_run_s
        self._new_id = new_id
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, principal: Principal, request: RunRequest) -> "LiveRun":
        """Admit, store and start a run; return it once its first event is there. Whoever gets the LiveRun closes it.

        Raises UnknownModel, ContentBlocked, NotFound, ThreadBusy, Overloaded, AgentLost, GuardrailUnavailable and
        StoreUnavailable. A run that was stored and then refused is recorded as failed. A caller that is cancelled
        meanwhile has hung up, and the run's policy decides what becomes of the run.
        """
        live = LiveRun(run=self._admit(principal, request), service=self)
        # In a task of its own, with an empty context: Serve cancels what runs in a request's context when the client
        # leaves, and a run that is to continue must get as far as its agent.
        beginning = self._spawn(self._begin(live))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._spawn(self._leave_early(live, beginning))
            raise
        return live

    async def _begin(self, live: "LiveRun") -> None:
        """Store, screen and start a run. A refusal after it was stored is recorded as its end."""
        run = live.run
        await self._runs.create(run)
        try:
            await self._screen(run)
            await live.open(self._agent.execute(RunTicket(run_id=run.id, remaining_s=self._max_run_s)))
        except MainstayError as error:
            await self.record_failure(run, error)
            raise

    async def _leave_early(self, live: "LiveRun", beginning: "asyncio.Task[None]") -> None:
        """The client left before the first event."""
        if live.run.on_disconnect is OnDisconnect.CANCEL:
            beginning.cancel()
        await asyncio.wait([beginning])
        if beginning.cancelled() or beginning.exception() is None:
            await live.aclose()

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

    async def record_failure(self, run: Run, error: MainstayError) -> None:
        """Record that a run failed before, or without, its agent. What the store cannot take now is left to its sweep."""
        outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=error.to_failure())
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


class LiveRun:
    """The events of one run, from RunStarted to its terminal event, as an async iterator of batches.

    An agent that dies, or ends without a terminal event, yields a RunFailed(agent_lost): the reader always sees exactly one
    terminal event. `aclose` before that is a hang-up.
    """

    def __init__(self, *, run: Run, service: RunService) -> None:
        self.run = run
        self._service = service
        self._stream: AsyncIterator[EventBatch] | None = None
        self._first: EventBatch | None = None
        self._next_seq = 0
        self._attempt = 1
        self._shown = False
        self._ended = False

    async def open(self, stream: AsyncIterator[EventBatch]) -> None:
        """Wait for the first batch. Raises what the agent raised instead of one."""
        self._stream = stream
        try:
            self._first = await anext(stream)
        except StopAsyncIteration:
            raise AgentLost("The agent ended without an answer. Send the request again.") from None

    def __aiter__(self) -> AsyncIterator[EventBatch]:
        return self

    async def __anext__(self) -> EventBatch:
        if self._ended or self._stream is None:
            raise StopAsyncIteration
        batch, self._first = self._first, None
        if batch is None:
            try:
                batch = await anext(self._stream)
            except StopAsyncIteration:
                batch = await self._lost(AgentLost("The agent ended in the middle of the answer."))
            except MainstayError as error:
                batch = await self._lost(error)
        self._next_seq = batch.first_seq + len(batch.events)
        self._attempt = batch.attempt
        self._ended = batch.terminal
        self._shown = self._shown or any(isinstance(event, TextDelta) for event in batch.events)
        return batch

    async def _lost(self, error: MainstayError) -> EventBatch:
        """Make the terminal event of a stream that broke.

        The agent may be alive, and this only a detach. A run that must not go on without its client is stopped, which records
        what it had said, and closed if no agent is left to do so; one that is to continue is left to its agent or the sweep.
        """
        if self.run.on_disconnect is OnDisconnect.CANCEL:
            await self._service.stop(self.run, STREAM_LOST)
            await self._service.record_failure(self.run, error)
        failed = RunFailed(failure=error.to_failure(), partial=self._shown, usage=Usage(), duration_s=0.0)
        return EventBatch(attempt=self._attempt, first_seq=self._next_seq, events=(failed,))

    async def aclose(self) -> None:
        """Stop reading. If the run has not ended this is a hang-up, and the run's policy decides what becomes of it.

        The stream is closed first: that frees the place at the agent through which the word to cancel comes in.
        """
        stream, self._stream = self._stream, None
        left, self._ended = not self._ended, True
        close = getattr(stream, "aclose", None)
        try:
            if close is not None:
                await close()
        finally:
            if left:
                self._service.hang_up(self.run)
