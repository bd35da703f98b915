"""One text on its way out, past everything that is looked for in it. What is raised in here is no verdict."""

import logging
import re

from services.errors import GuardrailUnavailable
from services.guardrails.screen.hold_back import HoldBack
from services.guardrails.screen.leak import LeakWatch

logger = logging.getLogger(__name__)

_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
    re.error,
)
"""What is raised where a rule is wrong. Anything else would not let the text pass either, only under another name."""


class TextScreen:
    """One text on its way out. Once it is `blocked` nothing more comes out of it. Raises GuardrailUnavailable."""

    __slots__ = ("_hold_back", "_leak")

    def __init__(self, hold_back: HoldBack, leak: LeakWatch | None) -> None:
        self._hold_back = hold_back
        self._leak = leak

    @property
    def blocked(self) -> bool:
        return self._hold_back.blocked or (self._leak is not None and self._leak.blocked)

    def feed(self, piece: str) -> str:
        """Take a piece, and return what may go out now."""
        try:
            released = self._hold_back.feed(piece)
            return released if self._leak is None or not released else self._leak.feed(released)
        except _BUGS as error:
            raise _unavailable(error) from error

    def finish(self) -> str:
        """Nothing follows: return what was held of it."""
        try:
            rest = self._hold_back.finish()
            return rest if self._leak is None else self._leak.feed(rest) + self._leak.finish()
        except _BUGS as error:
            raise _unavailable(error) from error


def _unavailable(error: BaseException) -> GuardrailUnavailable:
    logger.error("the output screen failed", exc_info=error)
    return GuardrailUnavailable("The answer could not be screened, so it was stopped.")
