"""From a request to a run that may be stored: the graph must exist, the time is bounded, the input passes the guard."""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.errors import ContentBlocked, MainstayError, StoreUnavailable, UnknownModel
from services.guard import Action, Guard, Stage
from services.runs.ports import RunStore
from services.telemetry.log_context import log_context
from services.types import Message, Principal, Run, RunOutcome, RunRequest, RunStatus, Usage

logger = logging.getLogger(__name__)


class Intake:
    """What every run passes before it is stored. `max_run_s` is the longest time a request may ask for."""

    def __init__(
        self, *, runs: RunStore, guard: Guard, graphs: Collection[str], max_run_s: float, new_id: Callable[[], UUID]
    ) -> None:
        self._runs = runs
        self._guard = guard
        self._graphs = frozenset(graphs)
        self._max_run_s = max_run_s
        self._new_id = new_id

    def run_of(self, principal: Principal, request: RunRequest, traceparent: str | None = None) -> Run:
        """Return the run that a request asks for, to be traced from `traceparent` on. Raises UnknownModel."""
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
            timeout_s=self._max_run_s if request.timeout_s is None else min(request.timeout_s, self._max_run_s),
            decisions=request.decisions,
            background=request.background,
            priority=request.priority,
            traceparent=traceparent,
            request_id=log_context().request_id or None,
        )

    async def screen(self, run: Run) -> Run:
        """Return the run, marked if the guard flags its input. Raises for one that it does not let through as it is.

        Nobody may rewrite what a user said, so a redaction is a refusal.

        Call it before the run is stored, for an agent may take a stored run at any moment. Raises ContentBlocked and
        GuardrailUnavailable.
        """
        texts = [text for message in run.messages for text in (message.content, message.name) if text is not None]
        texts += [text for decision in run.decisions or () for text in _texts(decision)]
        verdict = await self._guard.check(texts, Stage.INPUT)
        if not verdict.action.passes:
            param = "messages" if run.decisions is None else "decisions"
            raise ContentBlocked(verdict.message or "The message was refused by a guardrail.", param=param)
        return replace(run, flagged=True) if verdict.action is Action.FLAG else run

    async def refuse(self, run: Run, error: MainstayError) -> None:
        """Record a run that was not let through, and is not stored yet, as failed, if its thread and the store allow that.

        It is stored with no time left: even if its end could not be, no agent would run it.
        """
        try:
            await self._runs.create(replace(run, timeout_s=0.0, background=False))
        except MainstayError as refusal:
            logger.info("run %s was refused (%s) and is not on record: %s", run.id, error.code, refusal.code)
        else:
            await record_failure(self._runs, run, error)


async def record_failure(runs: RunStore, run: Run, error: MainstayError, said: str = "") -> None:
    """Record that a run failed before, or without, its agent. What the store cannot take now is left to its sweep.

    `said` is what its client was shown of the answer; it is kept unless the agent has recorded its own.
    """
    messages = (Message(role="assistant", content=said),) if said else ()
    outcome = RunOutcome(status=RunStatus.FAILED, messages=messages, usage=Usage(), failure=error.to_failure())
    try:
        await runs.finish(run, outcome)
    except StoreUnavailable as unavailable:
        logger.warning("run %s: its failure could not be recorded: %s", run.id, unavailable)


def _texts(value: Any) -> list[str]:
    """Every text within a decision: a person's words reach the model as a message's do."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []
