"""A chat completion request as the simulation sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One POST /v1/chat/completions."""

    number: int
    """Ordinal over the life of the upstream, from 1."""
    body: dict[str, Any]
    headers: Mapping[str, str]
    user_text: str
    """Of the last user message; the text parts joined when its content is a list."""
    tool_results: tuple[str, ...]
    """Contents of the tool messages that end the conversation; empty when it ends with anything else."""
    step: int
    """Assistant messages since the last user message: which model call of the turn this is, from 0."""
    tool_names: frozenset[str]
    """Functions the model may call; empty with `tool_choice: none`."""

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def said(self) -> str:
        """The whole conversation, a line for each message."""
        return "\n".join(
            text_of(message.get("content")) for message in self.body["messages"] if isinstance(message, dict)
        )

    @property
    def key(self) -> bytes:
        """Equal for the attempts of one request."""
        return orjson.dumps([self.body.get("model"), self.body.get("messages")])

    @property
    def prompt_tokens(self) -> int:
        """Four bytes a token, as everywhere here."""
        return max(1, len(orjson.dumps(self.body.get("messages"))) // 4)


def text_of(content: object) -> str:
    """The text of a message's content, in both its forms."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def read_request(*, number: int, body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Raises ValueError when the body is no chat completion request."""
    value = orjson.loads(body)
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list) or not value["messages"]:
        raise ValueError("`messages` must be a list that is not empty")
    messages = [message for message in value["messages"] if isinstance(message, dict)]
    roles = [str(message.get("role")) for message in messages]
    last_user = max((index for index, role in enumerate(roles) if role == "user"), default=-1)
    tail = len(messages)
    while tail > 0 and roles[tail - 1] == "tool":
        tail -= 1
    tools = value.get("tools") if value.get("tool_choice") != "none" else None
    return ChatRequest(
        number=number,
        body=value,
        headers=headers,
        user_text=text_of(messages[last_user].get("content")) if last_user >= 0 else "",
        tool_results=tuple(text_of(message.get("content")) for message in messages[tail:]),
        step=roles[last_user + 1 :].count("assistant"),
        tool_names=frozenset(
            str(tool["function"]["name"]) for tool in tools or () if isinstance(tool.get("function"), dict)
        ),
    )
