"""One text of a model on its way out: through its gate, past those who judge it, to whoever is to have it."""

from services.errors import ContentBlocked
from services.llm.screening import NOWHERE, AnswerScreen, Outlet


class Channel:
    """Whatever raises ContentBlocked here ends the call: what was let out of it is the answer."""

    __slots__ = ("_gate", "_outlet", "_reading")

    def __init__(self, screen: AnswerScreen, outlet: Outlet, *, trusted: bool, answer: bool) -> None:
        self._gate = screen.stream()
        self._reading = screen.reading(outlet, trusted=trusted, answer=answer)
        self._outlet = outlet

    @property
    def blocked(self) -> bool:
        """Whether a guardrail has ended it."""
        return self._gate.blocked or (self._reading is not None and self._reading.ended)

    @property
    def judged(self) -> bool:
        """Whether somebody judges it, so that it has to be settled."""
        return self._reading is not None

    def feed(self, piece: str) -> None:
        """Take a piece. Raises ContentBlocked and GuardrailUnavailable."""
        if released := self._gate.feed(piece):
            self._let_out(released)
        elif self._gate.blocked:
            raise ContentBlocked("A guardrail stopped the answer.")

    def finish(self) -> None:
        """Nothing follows: let out what was held, as far as it may. Raises as `feed`."""
        if rest := self._gate.finish():
            self._let_out(rest)
        if self._reading is not None:
            self._reading.finish()

    async def room(self) -> None:
        """Return when those who judge it want more."""
        if self._reading is not None:
            await self._reading.room()

    async def settle(self) -> None:
        """Return once all of it that was let out is judged. Raises as `feed`."""
        if self._reading is not None:
            self._reading.finish()
            await self._reading.settle()

    def close(self) -> None:
        """Let nothing more of it out; what was shown ahead of its verdict is taken back."""
        if self._reading is not None:
            self._reading.close()
        self._outlet, self._reading = NOWHERE, None  # both hold whoever holds this

    def _let_out(self, text: str) -> None:
        if self._reading is None:
            self._outlet.show(text)
        else:
            self._reading.feed(text)
