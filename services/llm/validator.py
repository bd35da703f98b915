"""The stream validator: whatever a provider says passes through here, and what cannot be an answer stops here.

It stands between a provider and the run's sink, so it holds for every provider alike. What only HTTP can tell (status, content
type, framing, the stream's own grammar) is checked where HTTP is read; how long content may take is `patience`'s to say.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from langchain_core.messages import AIMessage

from services.errors import ContentBlocked, ModelOutputLoops, ModelOutputTooLarge, ModelStreamBroken
from services.llm.channel import Channel
from services.llm.screening import AnswerScreen, Outlet, Unscreened

MAX_REPEATS = 100
"""Equal pieces in a row that make a loop: LiteLLM's REPEATED_STREAMING_CHUNK_LIMIT."""

MIN_REPEATED_CHARS = 3
"""Shorter pieces may repeat: rules, indentation and empty lines do."""

PIECES_PER_TOKEN = 2
"""A piece is at least a token, but for characters that a server splits; over this a provider ignores its limit."""


class StreamSink(Protocol):
    """Where the text of several model calls of one run goes, each piece with the name of the agent that speaks."""

    def text(self, delta: str, source: str | None = None) -> None: ...

    def reasoning(self, delta: str, source: str | None = None) -> None: ...

    async def drain(self) -> None: ...

    async def pace(self) -> None:
        """Return when more text is of use: a busy replica sends what comes before that together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCaps:
    """What one answer may be at most: pieces (about tokens), and characters of text, reasoning and tool calls together."""

    max_pieces: int = 8_192
    max_chars: int = 4_000_000

    @classmethod
    def for_tokens(cls, limit: int) -> "StreamCaps":
        """Return the caps of an answer that was asked to have at most `limit` tokens."""
        return cls(max_pieces=PIECES_PER_TOKEN * limit + 64)


def _heard() -> None:
    """The first content has come: whoever was to be told has been, and holds the stream."""


class AnswerStream:
    """One model call's way into the run's sink, over all its attempts: implements `TextSink` and `patience.Watched`.

    It keeps what was said, for the record and the bill, and keeps a silent call's text from the client. `on_first` is told
    of an attempt's first content: text, reasoning or a piece of a tool call. Nothing goes on before `screen` has released it:
    `parts` is what was released of the text. `decided_at` is when the attempt began to say what it has decided on: the first of
    its content that is not reasoning. Where texts are judged as well, `settle` before the answer is taken for one, and
    `close` whatever happens: what was shown ahead of its verdict is taken back then.
    """

    def __init__(
        self,
        sink: StreamSink,
        *,
        source: str | None = None,
        silent: bool = False,
        screen: AnswerScreen = Unscreened(),  # noqa: B008  it has no state
        tainted: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._source = source
        self._silent = silent
        self._screen = screen
        self._trusted = not tainted
        self._clock = clock
        self._channels: list[Channel] = []
        self._judged: list[Channel] = []
        self.parts: list[str] = []
        self.begin(StreamCaps(), _heard)

    def begin(self, caps: StreamCaps, on_first: Callable[[], None]) -> None:
        """Begin an attempt: forget what an earlier one did."""
        self._max_pieces, self._max_chars = caps.max_pieces, caps.max_chars
        self._on_first = on_first
        self._last = ""
        self._repeats = 0
        self.close()
        self.parts.clear()
        self._text = self._open(self, answer=self._source is None and not self._silent)
        self._unfed: list[str] = []
        self._thought: Channel | None = None
        self.pieces = 0
        self.chars = 0
        self.text_chars = 0
        self.reasoning_chars = 0
        self.draining = False
        self.was_sent = False
        self.decided_at: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the client has seen something of this attempt, so that it cannot be made again in silence."""
        return not self._silent and (bool(self.parts) or self.reasoning_chars > 0)

    def sent(self) -> None:
        self.was_sent = True

    def text(self, delta: str) -> None:
        """Take a piece, which goes on with the next `drain`: pieces that come together are looked through together. Raises
        ModelOutputTooLarge and ModelOutputLoops, which end the attempt, and ContentBlocked and GuardrailUnavailable, which end
        the call.
        """
        if not self.text_chars:
            self._decided()
        self._take(delta, len(delta))
        self.text_chars += len(delta)
        if self._thought is not None:
            self._end_thought()
        self._unfed.append(delta)

    def reasoning(self, delta: str) -> None:
        """Take a piece of visible reasoning; see `text`."""
        self._take(delta, len(delta))
        self._feed()
        self.reasoning_chars += len(delta)
        if self._thought is None:
            self._thought = self._open(_Thought(self._say_thought), answer=False)
        self._thought.feed(delta)

    def break_off(self) -> None:
        """Nothing follows, and the answer is not whole: what has come of it goes on, unless it is held. Raises as `text`."""
        self._feed()

    def finish(self) -> None:
        """Release what was held: the answer is whole."""
        self._feed()
        if self._thought is not None:
            self._end_thought()
        self._text.finish()

    async def settle(self) -> None:
        """Return once all that was released is judged; then `blocked` says whether it is to end there.

        Raises GuardrailUnavailable.
        """
        for channel in self._judged:
            try:
                await channel.settle()
            except ContentBlocked:
                return

    def close(self) -> None:
        """Let nothing more out, and take back what was shown ahead of its verdict."""
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        self._judged.clear()

    def show(self, text: str) -> None:
        """Implements `screening.Outlet`."""
        self.parts.append(text)
        if not self._silent:
            self._sink.text(text, self._source)

    def keep(self, text: str) -> None:
        self.parts.append(text)

    def cut(self, chars: int) -> None:
        self.parts[:] = [self.released[:chars]]

    def _feed(self) -> None:
        if self._unfed:
            text = "".join(self._unfed)
            self._unfed.clear()
            self._text.feed(text)

    def _open(self, outlet: Outlet, *, answer: bool) -> Channel:
        channel = Channel(self._screen, outlet, trusted=self._trusted, answer=answer)
        self._channels.append(channel)
        if channel.judged:
            self._judged.append(channel)
        return channel

    def _end_thought(self) -> None:
        """A thought ends where the answer goes on."""
        thought, self._thought = self._thought, None
        if thought is not None:
            thought.finish()
            if thought.blocked:
                raise ContentBlocked("A guardrail stopped the answer.")

    def _decided(self) -> None:
        if self.decided_at is None:
            self.decided_at = self._clock()

    def _say_thought(self, text: str) -> None:
        if not self._silent:
            self._sink.reasoning(text, self._source)

    @property
    def released(self) -> str:
        return "".join(self.parts)

    @property
    def blocked(self) -> bool:
        """Whether a guardrail ended it."""
        thought = self._thought is not None and self._thought.blocked
        return self._text.blocked or thought or any(channel.blocked for channel in self._judged)

    def tool_call(self, chars: int) -> None:
        """Take a piece of a tool call, of which only the size matters here."""
        self._take("", chars)
        self._decided()

    async def drain(self) -> None:
        self._feed()
        self.draining = True
        for channel in self._judged:
            await channel.room()
        if not self._silent:
            await self._sink.drain()
        self.draining = False
        if not self._silent:
            await self._sink.pace()

    def whole(self, answer: AIMessage) -> AIMessage:
        """Return the answer if it is one. Raises ModelStreamBroken for one that says nothing and was not cut off."""
        reason = answer.response_metadata.get("finish_reason")
        if self.pieces or answer.content or answer.tool_calls or reason in ("length", "content_filter"):
            return answer
        raise ModelStreamBroken("The model's answer is empty.")

    def _take(self, delta: str, chars: int) -> None:
        self.pieces += 1
        self.chars += chars
        if self.pieces == 1:
            on_first, self._on_first = self._on_first, _heard
            on_first()
        if self.pieces > self._max_pieces or self.chars > self._max_chars:
            raise ModelOutputTooLarge(f"The model's answer does not end: over {self.pieces - 1} pieces.")
        if delta != self._last:
            self._last = delta
            self._repeats = 0
        elif len(delta) >= MIN_REPEATED_CHARS:
            self._repeats += 1
            if self._repeats >= MAX_REPEATS:
                raise ModelOutputLoops("The model repeats itself without end.")


class _Thought:
    """Implements `screening.Outlet` for visible reasoning, which is never shown ahead of its verdict."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.show = say

    def keep(self, text: str) -> None: ...

    def cut(self, chars: int) -> None: ...
