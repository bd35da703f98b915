"""What OpenAI's Chat Completions defines and Mainstay does not do: ignored where that is harmless, else refused by name.

Nothing is dropped silently that would change the answer. A field that stands in neither table, and is not in the body's
model, is refused as unknown.
"""

from collections.abc import Mapping
from typing import Any

from services.errors import UnsupportedParameter
from services.types import JsonObject

IGNORED = frozenset(
    {
        "parallel_tool_calls",  # tools are the server's, and so is their order
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",  # a hint: the operator chooses the models and how they think
        "safety_identifier",
        "service_tier",
        "store",  # what is kept is the operator's policy
        "user",  # users are known by their key
        "verbosity",
    }
)

_TOOLS = "Tools are chosen and run by the server. Leave it out, and choose a model whose graph has the tools."
_TEXT = "Only text is offered for now. Leave it out."

NEUTRAL: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "audio": ((), _TEXT),
    "frequency_penalty": ((0, 0.0), "Only 0 is offered for now. Leave it out."),
    "function_call": (("none", "auto"), _TOOLS),
    "functions": (([],), _TOOLS),
    "logit_bias": (({},), "It is not offered for now. Leave it out."),
    "logprobs": ((False,), "It is not offered for now. Leave it out."),
    "modalities": ((["text"],), _TEXT),
    "moderation": ((), "Moderation is the server's guardrail. Leave it out."),
    "n": ((1,), "One answer per request is offered for now. Send 1, and several requests for several answers."),
    "prediction": ((), "It is not offered for now. Leave it out."),
    "presence_penalty": ((0, 0.0), "Only 0 is offered for now. Leave it out."),
    "response_format": (({"type": "text"},), "Only {'type': 'text'} is offered for now. Leave it out."),
    "tool_choice": (("none", "auto"), _TOOLS),
    "tools": (([],), _TOOLS),
    "top_logprobs": ((0,), "It is not offered for now. Leave it out."),
    "web_search_options": ((), "Searching is a tool of a graph here. Leave it out."),
}
"""Fields that are accepted with a value that changes nothing (or null), and refused with the sentence otherwise."""

_TOOL_ROLES = frozenset({"tool", "function"})
_TOOL_FIELDS = ("tool_calls", "function_call")
_OTHER_PARTS = frozenset({"image_url", "input_image", "input_audio", "file", "video_url", "image"})


def refuse_unsupported(body: JsonObject) -> JsonObject:
    """Return the body without the fields of the two tables. Raises UnsupportedParameter, naming the field."""
    for name, (neutral, remedy) in NEUTRAL.items():
        value = body.get(name)
        if value is not None and not any(type(value) is type(same) and value == same for same in neutral):
            raise UnsupportedParameter(f"The field {name!r} is not supported with this value. {remedy}", param=name)
    messages = body.get("messages")
    for position, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            _refuse_in_message(message, f"messages.{position}")
    return {name: value for name, value in body.items() if name not in IGNORED and name not in NEUTRAL}


def _refuse_in_message(message: JsonObject, path: str) -> None:
    role = message.get("role")
    if isinstance(role, str) and role in _TOOL_ROLES:
        raise UnsupportedParameter(f"Messages with the role {role!r} are not supported. {_TOOLS}", param=f"{path}.role")
    for name in _TOOL_FIELDS:
        if message.get(name):
            raise UnsupportedParameter(f"The field {name!r} is not supported. {_TOOLS}", param=f"{path}.{name}")
    content = message.get("content")
    for position, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _OTHER_PARTS:
            raise UnsupportedParameter(
                f"A content part of the type {kind!r} is not supported. Only 'text' parts are offered for now.",
                param=f"{path}.content.{position}.type",
            )
