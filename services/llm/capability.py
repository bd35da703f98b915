"""Which providers can take a call at all: tools, JSON, and a context that it fits into."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from services.llm.types import ModelCall

CHARS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English, for what nobody reported: what fits, and what a call costs that was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one model can do. `context_tokens` is its whole window, prompt and answer; None where it is not known."""

    tools: bool = True
    json_mode: bool = True
    context_tokens: int | None = None

    def lacking(self, call: ModelCall) -> str | None:
        """Return what the call needs and this model cannot do, None where it can; its length apart."""
        if call.tools and not self.tools:
            return "tools"
        if call.response_format is not None and not self.json_mode:
            return "JSON"
        return None

    def has_room(self, call: ModelCall) -> bool:
        """Whether the conversation fits, as far as characters tell; its answer needs one token at least."""
        return self.context_tokens is None or input_tokens(call) < self.context_tokens

    def larger_than(self, other: "Capabilities") -> bool:
        """Whether this window is known to be the larger one."""
        return (self.context_tokens or 0) > (other.context_tokens or 0)


def input_tokens(call: ModelCall) -> int:
    """Return about how many tokens a call sends: its messages, their tool calls and the schemas of its tools."""
    return math.ceil(sum(map(len, _texts(call))) / CHARS_PER_TOKEN)


def most_input_tokens(call: ModelCall) -> int:
    """Return how many tokens a call can send at most: no token stands for less than a byte, and few frame a message."""
    return sum(map(_bytes, _texts(call))) + FRAME_TOKENS * (len(call.messages) + len(call.tools) + 1)


FRAME_TOKENS = 16
"""That a provider's chat format puts round a message or a tool, at most: 3 to 7 with OpenAI's and Qwen's."""


def _texts(call: ModelCall) -> Iterator[str]:
    """Yield all that a call sends: of each message its name, what it says and the tool calls in it, and the tools."""
    for message in call.messages:
        yield message.name or ""
        yield str(message.content)
        if isinstance(message, AIMessage):
            for asked in message.tool_calls:
                yield asked["name"]
                yield str(asked["args"])
    for tool in call.tools:
        yield str(tool)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
