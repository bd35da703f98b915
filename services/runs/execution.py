"""One run at work in its agent replica, and what is made of how it ended."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.errors import ERRORS, ContentBlocked, GuardrailUnavailable, MainstayError, ModelError
from services.events import (
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    RunStarted,
    TerminalEvent,
)
from services.guardrails.screen.output import WITHHELD, RunScreen
from services.llm.gateway import RunModel
from services.runs.buffer import EventBuffer
from services.runs.checkpoints import KeptCheckpoint
from services.runs.event_codec import sound
from services.runs.logged_run import LoggedRun
from services.runs.run_spans import RunSpan
from services.runs.types import GraphResult
from services.types import Claim, Fence, Message, OnDisconnect, Progress, Run, RunOutcome, RunStatus

_QUOTING = frozenset(kind.code for kind in ERRORS if issubclass(kind, ModelError))
"""Codes of failures whose messages may quote a provider."""


@dataclass(slots=True, kw_only=True)
class Execution:
    """`work` is the graph, which may be cancelled; `watch` waits for it and records its end, and is not.

    `read` is whether somebody takes the run's batches as they come. A run that is `given_up` has no end here: another
    replica goes on with it. `stopped_by` is a failure that stopped it from outside.
    """

    claim: Claim
    buffer: EventBuffer
    log: LoggedRun
    model: RunModel
    screen: RunScreen
    prompts: Mapping[str, str]
    prompt_version: str = ""
    started_at: float
    span: RunSpan
    work: "asyncio.Task[GraphResult]" = field(init=False)
    watch: "asyncio.Task[None]" = field(init=False)
    read: bool = True
    given_up: bool = False
    cancel_reason: str | None = None
    stopped_by: MainstayError | None = None
    last: KeptCheckpoint | None = None
    """The checkpoint that is stored with its end."""

    @property
    def run(self) -> Run:
        return self.claim.run

    @property
    def id(self) -> UUID:
        return self.claim.run.id

    @property
    def fence(self) -> Fence:
        return self.claim.fence

    @property
    def needs_a_reader(self) -> bool:
        return self.run.on_disconnect is OnDisconnect.CANCEL and not self.run.background

    @property
    def cut_off(self) -> bool:
        """Whether it was given up before it had come to an end of its own."""
        return self.given_up and (self.work.cancelled() or self.work.exception() is not None)

    def stop(self, reason: str) -> None:
        """Stop it as cancelled, for this reason. The first word counts."""
        if self.cancel_reason is None and not self.work.done():
            self.cancel_reason = reason
            self.work.cancel()

    def fail(self, error: MainstayError) -> None:
        """Stop it as failed."""
        self.stopped_by = self.stopped_by or error
        self.work.cancel()

    def give_up(self) -> None:
        """Stop it here, unless somebody has stopped it already."""
        if self.cancel_reason is None and not self.work.done():
            self.given_up = True
            self.work.cancel()

    def keep(self, last: KeptCheckpoint) -> None:
        self.last = last

    def progress(self) -> Progress:
        """What a checkpoint that is written now contains."""
        return Progress(event_id=self.buffer.last, usage=self.model.usage, said=self.model.answer_text)

    def outcome(self, error: MainstayError | None) -> RunOutcome:
        """How the run ended, given what its graph raised; a cancelled one raised nothing. All of it is screened."""
        try:
            outcome = self.screen.outcome(self._unscreened(error))
        except GuardrailUnavailable as closed:
            usage, failure = self.model.usage, closed.to_failure()
            outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=usage, failure=failure)
        return replace(outcome, prompt_version=self.prompt_version)

    async def judged(self, outcome: RunOutcome) -> RunOutcome:
        """Return the outcome with a failure's message that may be told: a provider's error may quote what a model said."""
        failure = outcome.failure
        if failure is None or failure.code not in _QUOTING:
            return outcome
        try:
            await self.screen.judged(failure.message)
        except (ContentBlocked, GuardrailUnavailable):
            return replace(outcome, failure=replace(failure, message=WITHHELD))
        return outcome

    def _unscreened(self, error: MainstayError | None) -> RunOutcome:
        if error is None and not self.work.cancelled():
            return self._ended(self.work.result())
        if error is None:
            error = self.stopped_by
        said = self.model.answer_text
        self.screen.passed(said)
        return RunOutcome(
            status=RunStatus.CANCELLED if error is None else RunStatus.FAILED,
            # What it had already said is kept.
            messages=(Message(role="assistant", content=said),) if said else (),
            usage=self.model.usage,
            provider=self.model.provider,
            model=self.model.model,
            failure=None if error is None else error.to_failure(),
        )

    def _ended(self, result: GraphResult) -> RunOutcome:
        return RunOutcome(
            status=RunStatus.INTERRUPTED if result.interrupts else RunStatus.COMPLETED,
            messages=result.messages,
            usage=self.model.usage,
            provider=self.model.provider,
            model=self.model.model,
            finish_reason=None if result.interrupts else result.finish_reason,
            interrupts=result.interrupts,
        )

    def terminal(self, outcome: RunOutcome, duration_s: float) -> TerminalEvent:
        """Return the event that tells of an outcome."""
        usage = outcome.usage
        if outcome.failure is not None:
            partial = bool(self.model.answer_text)
            return sound(RunFailed(failure=outcome.failure, partial=partial, usage=usage, duration_s=duration_s))
        if outcome.status is RunStatus.CANCELLED:
            return sound(RunCancelled(reason=self.cancel_reason or "cancelled", usage=usage, duration_s=duration_s))
        if outcome.status is RunStatus.INTERRUPTED:
            return sound(RunInterrupted(interrupts=outcome.interrupts, usage=usage, duration_s=duration_s))
        return RunCompleted(finish_reason=outcome.finish_reason or "stop", usage=usage, duration_s=duration_s)


def opening(claim: Claim) -> list[RunEvent]:
    """Return the events with which an attempt begins."""
    run, keep = claim.run, None if claim.progress is None else claim.progress.event_id
    started = RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph, attempt=run.attempt)
    if run.attempt == 1:
        return [started]
    restarted = RunRestarted(attempt=run.attempt, keep=keep)
    return [restarted] if keep else [restarted, started]
