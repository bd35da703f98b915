"""One text by a model as its meaning is judged: sentence after sentence, shown before its verdict or behind it.

However it is shown, what remains is the same: the text up to the first sentence that ends it. Verdicts are asked for as
sentences are completed and taken in the order of the text, so which of them comes first does not matter.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from services.errors import ContentBlocked, GuardrailUnavailable, MainstayError
from services.guard import UNJUDGED, Action, Verdict
from services.guardrails.semantic.pieces import Cutter, Piece
from services.guardrails.semantic.tier import SemanticTier, Tally
from services.guardrails.semantic.types import Context
from services.llm.screening import Outlet

logger = logging.getLogger(__name__)

MAX_WAITING = 8
"""Sentences of one text that are judged at once; then the provider's stream is not read on."""


class Ahead(Protocol):
    """Where text goes that is shown before it is judged: see `services.runs.buffer.EventBuffer`."""

    def ahead(self, delta: str) -> None: ...

    def judged(self, chars: int) -> None: ...

    def retract(self, rule: str) -> None: ...


Told = Callable[[Verdict, int], None]
"""Told of every verdict that does not simply allow, with how many characters were taken back for it."""


class Reading:
    """Lets the text go to `outlet` as it is judged. With `ahead` it is shown there as it comes, and kept by the outlet."""

    def __init__(
        self, tier: SemanticTier, around: Context, outlet: Outlet, told: Told, tally: Tally, ahead: Ahead | None = None
    ) -> None:
        self._tier = tier
        self._around = around
        self._outlet = outlet
        self._told = told
        self._tally = tally
        self._ahead = ahead
        self._cutter = Cutter()
        self._waiting: deque[tuple[Piece, asyncio.Task[Verdict]]] = deque()
        self._passed_chars = 0
        self._fed_chars = 0
        self._failure: MainstayError | None = None
        self.over = False

    def feed(self, text: str) -> None:
        """Take more of the text. Raises ContentBlocked or GuardrailUnavailable once a verdict has ended it."""
        self._raise()
        self._fed_chars += len(text)
        if self._ahead is not None:
            self._outlet.keep(text)
            self._ahead.ahead(text)
        for piece in self._cutter.feed(text):
            self._submit(piece)

    @property
    def ended(self) -> bool:
        """Whether a verdict, or the want of one, has ended the text."""
        return self._failure is not None

    def finish(self) -> None:
        """Nothing follows: have the rest judged."""
        if self._failure is None:
            for piece in self._cutter.finish():
                self._submit(piece)

    async def room(self) -> None:
        """Return when more text is of use."""
        while len(self._waiting) > MAX_WAITING:
            await self._next()

    async def settle(self) -> None:
        """Return once all of it is judged. Raises ContentBlocked or GuardrailUnavailable where a verdict has ended it."""
        while self._waiting:
            await self._next()
        self._raise()

    def close(self) -> None:
        """Ask for nothing more, and take back what was shown and has no verdict."""
        if self.over:
            return
        self.over = True
        self._drop_unjudged()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _submit(self, piece: Piece) -> None:
        context = replace(self._around, before=piece.before)
        task = asyncio.get_running_loop().create_task(self._tier.judge(piece.text, context, self._tally))
        self._waiting.append((piece, task))
        task.add_done_callback(self._advance)

    async def _next(self) -> None:
        await asyncio.wait([self._waiting[0][1]])
        self._advance()

    def _advance(self, _: "asyncio.Task[Verdict] | None" = None) -> None:
        """Take the verdicts that are there, as far as there is no gap."""
        while self._waiting and self._waiting[0][1].done():
            piece, task = self._waiting.popleft()
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                self._fail(error)
            elif not (verdict := task.result()).action.passes:
                self._stop(verdict)
            else:
                self._pass(piece, verdict)

    def _pass(self, piece: Piece, verdict: Verdict) -> None:
        self._passed_chars += piece.chars
        if self._ahead is not None:
            self._ahead.judged(piece.chars)
        else:
            self._outlet.show(piece.text[len(piece.text) - piece.chars :])
        if verdict.rule is not None:  # it is flagged
            self._told(verdict, 0)

    def _stop(self, verdict: Verdict) -> None:
        self._failure = ContentBlocked("A guardrail stopped the answer.")
        self._told(verdict, self._drop(verdict.rule or "semantic"))

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, GuardrailUnavailable):
            logger.error("a semantic check failed", exc_info=error)
            error = GuardrailUnavailable("The answer could not be judged, so it was stopped.")
        self._failure = error
        self._drop_unjudged()

    def _drop_unjudged(self) -> None:
        if chars := self._drop(UNJUDGED):
            self._told(Verdict(action=Action.ALLOW, rule=UNJUDGED), chars)

    def _drop(self, rule: str) -> int:
        """Forget what is not judged, take back what of it was shown, and return how much that is."""
        for _, task in self._waiting:
            task.remove_done_callback(self._advance)
            task.cancel()
        self._waiting.clear()
        chars, self._fed_chars = self._fed_chars - self._passed_chars, self._passed_chars
        if self._ahead is None or not chars:
            return 0
        self._outlet.cut(self._passed_chars)
        self._ahead.retract(rule)
        return chars
