"""A run as the ingress sees it: admit it, start it, read its events, and say what a hang-up means.

Before the first event a failure is raised (and becomes an HTTP status); after it, it is an event. That is why `start`
waits for the first event before it returns.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Collection
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
    Usage,
)

logger = logging.getLogger(__name__)

CLIENT_DISCONNECTED = "client_disconnected"


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
        self._hang_ups: set[asyncio.Task[None]] = set()

    async def start(self, principal: Principal, request: RunRequest) -> "LiveRun":
        """Admit, store and start a run; return it once its first event is there. Whoever gets the LiveRun closes it.

        Raises UnknownModel, ContentBlocked, NotFound, ThreadBusy, Overloaded, AgentLost, GuardrailUnavailable and
        StoreUnavailable. A run that was stored and then refused is recorded as failed.
        """
        run = self._admit(principal, request)
        live = LiveRun(run=run, service=self)
        try:
            await self._runs.create(run)
            await self._begin(live)
        except asyncio.CancelledError:
            await live.aclose()
            raise
        return live

    async def _begin(self, live: "LiveRun") -> None:
        """Screen a stored run and have it executed. Records a refusal as the run's end."""
        run = live.run
        try:
            await self._screen(run)
            await live.open(self._agent.execute(RunTicket(run_id=run.id, remaining_s=self._max_run_s)))
        except MainstayError as error:
            await self.record_failure(run, error)
            raise

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
        verdict = await self._guard.check([message.content for message in run.messages], Stage.INPUT)
        if verdict.action is Action.BLOCK:
            raise ContentBlocked(verdict.message or "The message was refused by a guardrail.", param="messages")

    async def record_failure(self, run: Run, error: MainstayError) -> None:
        """Record that a run failed before, or without, its agent. What the store cannot take now is left to its sweep."""
        outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=error.to_failure())
        try:
            await self._runs.finish(run, outcome)
        except StoreUnavailable:
            return

    def hang_up(self, run: Run) -> None:
        """Tell the agent that the client is gone, when the run's policy is to stop then.

        The word is sent from a task with an empty context, because Serve cancels whatever runs in the context of a
        request when the client leaves.
        """
        if run.on_disconnect is OnDisconnect.CONTINUE:
            return
        task = asyncio.get_running_loop().create_task(self._cancel(run), context=contextvars.Context())
        self._hang_ups.add(task)
        task.add_done_callback(self._hang_ups.discard)

    async def _cancel(self, run: Run) -> None:
        try:
            await self._agent.cancel(run.id, CLIENT_DISCONNECTED)
            # The agent records what it ran; this only settles a run that no agent had begun.
            await self._runs.finish(run, RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage()))
        except MainstayError as error:
            logger.warning("run %s: the hang-up could not be recorded: %s", run.id, error)

    async def settled(self) -> None:
        """Wait until every hang-up so far has been told to the agents: for shutdown and for tests."""
        await asyncio.gather(*self._hang_ups, return_exceptions=True)


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
        return batch

    async def _lost(self, error: MainstayError) -> EventBatch:
        await self._service.record_failure(self.run, error)
        failed = RunFailed(failure=error.to_failure(), partial=self._next_seq > 1, usage=Usage(), duration_s=0.0)
        return EventBatch(attempt=self._attempt, first_seq=self._next_seq, events=(failed,))

    async def aclose(self) -> None:
        """Stop reading. If the run has not ended this is a hang-up, and the run's policy decides what becomes of it."""
        stream, self._stream = self._stream, None
        if not self._ended:
            self._ended = True
            self._service.hang_up(self.run)
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
