"""What stands between what a model says and everybody who is to have it: the stream's readers, and the graph's state."""

from typing import Any, Protocol

from langchain_core.messages import AIMessage

from services.errors import ContentBlocked

STOPPED = "content_filter"
"""The finish reason of an answer that was ended by a guardrail: as providers say it whose own filter did."""


class TextGate(Protocol):
    """One text on its way out, in pieces. Both raise GuardrailUnavailable; once `blocked`, nothing more comes out."""

    @property
    def blocked(self) -> bool: ...

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...


class TextReading(Protocol):
    """One text as its meaning is judged, behind its gate; see `services.guardrails.semantic.reading.Reading`."""

    @property
    def ended(self) -> bool: ...

    def feed(self, text: str) -> None: ...

    def finish(self) -> None: ...

    async def room(self) -> None: ...

    async def settle(self) -> None: ...

    def close(self) -> None: ...


class Outlet(Protocol):
    """Where a reading lets its text go: `show` what is judged, `keep` what it shows ahead by itself, of which `cut` takes all
    but so many characters back.
    """

    def show(self, text: str) -> None: ...

    def keep(self, text: str) -> None: ...

    def cut(self, chars: int) -> None: ...


class Nowhere:
    """Implements `Outlet` for a text that nobody is to have."""

    def show(self, text: str) -> None: ...

    def keep(self, text: str) -> None: ...

    def cut(self, chars: int) -> None: ...


NOWHERE = Nowhere()


class AnswerScreen(Protocol):
    """The screen of a run, for what models write; see `services.guardrails.screen.output.RunScreen`."""

    def stream(self) -> TextGate: ...

    def reading(self, outlet: Outlet, *, trusted: bool, answer: bool) -> TextReading | None:
        """Return how a text is judged, None where it is not. What is part of the `answer` may be shown before that."""
        ...

    async def judged(self, value: Any) -> None:
        """Return if a model may say this: a text, or what a call holds. Raises ContentBlocked and GuardrailUnavailable."""
        ...

    def written(self, value: Any) -> Any:
        """Return a text, or what a call holds, as it may be kept. Raises ContentBlocked."""
        ...

    def passed(self, text: str, taken_chars: int = 0) -> None:
        """Take note of all that was released of a text of so many characters: it may be kept as it is."""
        ...


class Unscreened:
    """Implements `AnswerScreen` and `TextGate`, for a model whose answers nobody is shown, such as a judge's."""

    blocked = False

    def stream(self) -> TextGate:
        return self

    def reading(self, outlet: Outlet, *, trusted: bool, answer: bool) -> None:
        return None

    async def judged(self, value: Any) -> None: ...

    def written(self, value: Any) -> Any:
        return value

    def passed(self, text: str, taken_chars: int = 0) -> None: ...

    def feed(self, piece: str) -> str:
        return piece

    def finish(self) -> str:
        return ""


async def as_released(answer: AIMessage, released: str, taken_chars: int, screen: AnswerScreen) -> AIMessage:
    """Return the answer as a graph may have it: its text as it was released, the rest of it screened and judged.

    `taken_chars` is how much text was streamed: one that is not what was streamed is screened by itself.
    """
    screen.passed(released, taken_chars)
    try:
        content = answer.content if isinstance(answer.content, str) else str(answer.text)
        if content != released:
            content = released if len(content) == taken_chars else screen.written(content)
        rest = {
            "tool_calls": screen.written(answer.tool_calls),
            "invalid_tool_calls": screen.written(answer.invalid_tool_calls),
            "additional_kwargs": screen.written(answer.additional_kwargs),
        }
        await screen.judged(rest if content == released else {"content": content, **rest})
        changed = {"content": content, **rest}
    except ContentBlocked:
        return stopped(released, answer)
    if all(getattr(answer, name) == value for name, value in changed.items()):
        return answer
    return answer.model_copy(update=changed)


def stopped(released: str, answer: AIMessage | None = None) -> AIMessage:
    """Return the answer that ends with what was released of its text."""
    usage = None if answer is None else answer.usage_metadata
    return AIMessage(content=released, response_metadata={"finish_reason": STOPPED}, usage_metadata=usage)
