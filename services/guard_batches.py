"""Checks of different requests that cross to the guardrail together.

A call costs some 2 ms of CPU in the two processes however little it holds. So a check goes at once where no call is on its
way; what comes while one is waits for it to return, and then all of it goes as one. Nothing waits for a timer.
"""

import asyncio
import contextvars
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from services.errors import Failure, GuardrailUnavailable, MainstayError, error_from_failure
from services.guard import Stage, Verdict

logger = logging.getLogger(__name__)

SHORT_CHARS = 600
"""A longer text may take the guardrail 25 ms: its check travels alone, and holds up nobody."""

MAX_BATCH = 16
"""Texts in one call that checks share, and so of those that wait: with more of them the next call goes out meanwhile."""

MAX_BATCH_CHARS = 4_000

RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request asks the guard."""

    texts: tuple[str, ...]
    stage: Stage


class Carrier(Protocol):
    """How checks come to the guardrail."""

    async def check_each(self, asked: Sequence[Asked]) -> Sequence[Verdict | Failure]:
        """Return a verdict on each, in their order and none by another's texts, or why there is none.

        What it raises holds for them all.
        """
        ...


_Answer = asyncio.Future[Verdict | Failure]
_Call = asyncio.Task[Sequence[Verdict | Failure]]


class BatchingGuard:
    """Implements `services.guard.Guard` over a carrier, and fails closed.

    Each check has `timeout_s` from when it was asked for, its wait for a call included. One that is given up, or whose caller
    is cancelled, leaves those beside it alone: a call is cancelled when nobody waits for any of it.
    """

    def __init__(self, carrier: Carrier, *, timeout_s: float) -> None:
        self._carrier = carrier
        self._timeout_s = timeout_s
        self._waiting = _Batch()
        self._shared: set[_Call] = set()

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        answer: _Answer = asyncio.get_running_loop().create_future()
        batch = self._join(Asked(texts=tuple(texts), stage=stage), answer)
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await answer
        except TimeoutError:
            raise GuardrailUnavailable("The guardrail did not answer in time.", retry_after_s=RETRY_S) from None
        finally:
            if answer.cancelled():
                batch.leave(answer)
        if isinstance(said, Failure):
            raise error_from_failure(said)
        return said

    def _join(self, asked: Asked, answer: _Answer) -> "_Batch":
        """Return the batch that a check goes with, and send what need not wait."""
        if any(len(text) > SHORT_CHARS for text in asked.texts) or not _Batch().has_room(asked):
            alone = _Batch({answer: asked})
            self._send(alone)
            return alone
        if not self._waiting.has_room(asked):
            self._send_waiting()
        batch = self._waiting
        batch.checks[answer] = asked
        if not self._shared or batch.texts == MAX_BATCH:
            self._send_waiting()
        return batch

    def _send_waiting(self) -> None:
        batch = self._waiting
        if batch.checks:
            self._waiting = _Batch()
            self._shared.add(self._send(batch))

    def _send(self, batch: "_Batch") -> _Call:
        # In an empty context: Serve cancels with a request what was started in its context.
        asking = self._carrier.check_each(tuple(batch.checks.values()))
        call = batch.call = asyncio.get_running_loop().create_task(asking, context=contextvars.Context())
        call.add_done_callback(partial(self._returned, batch))
        return call

    def _returned(self, batch: "_Batch", call: _Call) -> None:
        if call in self._shared:
            self._shared.remove(call)
            self._send_waiting()
        for answer, said in zip(batch.checks, _answers(call, len(batch.checks)), strict=True):
            if not answer.done():
                answer.set_result(said)


@dataclass(slots=True)
class _Batch:
    """Checks that go together, by who waits for the answer. Without a `call` they wait for one."""

    checks: dict[_Answer, Asked] = field(default_factory=dict)
    call: _Call | None = None

    @property
    def texts(self) -> int:
        return sum(len(asked.texts) for asked in self.checks.values())

    def has_room(self, asked: Asked) -> bool:
        chars = sum(len(text) for one in (*self.checks.values(), asked) for text in one.texts)
        return self.texts + len(asked.texts) <= MAX_BATCH and chars <= MAX_BATCH_CHARS

    def leave(self, answer: _Answer) -> None:
        if self.call is None:
            del self.checks[answer]
        elif all(other.done() for other in self.checks):
            self.call.cancel()


def _answers(call: _Call, count: int) -> Sequence[Verdict | Failure]:
    """Return what a call has said of each check, or for each why it has said nothing."""
    error = GuardrailUnavailable("The check was cut off.") if call.cancelled() else call.exception()
    if error is None and len(call.result()) == count:
        return call.result()
    if not isinstance(error, MainstayError):
        logger.error("a call to the guardrail failed", exc_info=error)
        error = GuardrailUnavailable("The guardrail gave no verdict.", retry_after_s=RETRY_S)
    return [error.to_failure()] * count
