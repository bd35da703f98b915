"""The semantic tier as one run has it: which of its texts are judged, and which of them may be shown before that."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.guardrails.semantic.hidden import Hidden
from services.guardrails.semantic.reading import Ahead, Reading, Told
from services.guardrails.semantic.tier import SemanticTier, Tally
from services.guardrails.semantic.types import Context
from services.llm.screening import NOWHERE, Outlet

ASKED_CHARS = 2_000
"""How much of what the user wrote a check is shown: the end of it."""

_FED_CHARS = 4_096
_NO_WORDS = frozenset({"id", "type"})
"""Keys of a call whose values a model does not choose."""


class RunJudging:
    """`asked` is what the user wrote in this turn, `hidden` what no text may give away. `ahead` is where the answer goes that
    is shown before it is judged; without it nothing is. `told`: see `reading.Told`.
    """

    def __init__(
        self,
        tier: SemanticTier,
        asked: str,
        hidden: Hidden | None,
        *,
        flagged: bool,
        ahead: Ahead | None,
        told: Told,
    ) -> None:
        self._tier = tier
        self._around = Context(asked=asked[-ASKED_CHARS:], hidden=hidden)
        self._flagged = flagged
        self._ahead = ahead
        self._told = told
        self._leading: Reading | None = None
        self.tally = Tally()

    def record(self) -> None:
        """Measure what came of it, when the run has ended."""
        self._tier.record(self.tally)

    def reading(self, outlet: Outlet, *, trusted: bool, answer: bool) -> Reading:
        """Return how a text is judged. What is shown before that is part of the answer, and one text at a time."""
        free = self._leading is None or self._leading.over
        leads = answer and free and self._tier.mode.runs_ahead(trusted=trusted and not self._flagged)
        reading = Reading(self._tier, self._around, outlet, self._told, self.tally, self._ahead if leads else None)
        if leads:
            self._leading = reading
        return reading

    async def judged(self, value: Any) -> None:
        """Return if a model may say this, of which nobody has been shown anything: a text, or what a call holds.

        Raises ContentBlocked and GuardrailUnavailable.
        """
        texts = list(_texts_in(value))
        if not texts:
            return
        reading = Reading(self._tier, self._around, NOWHERE, self._told, self.tally)
        try:
            for text in texts:
                for start in range(0, len(text), _FED_CHARS):
                    reading.feed(text[start : start + _FED_CHARS])
                    await reading.room()
                reading.feed("\n")
            reading.finish()
            await reading.settle()
        finally:
            reading.close()


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_WORDS:
                yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
