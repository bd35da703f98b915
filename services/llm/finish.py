"""Why a model stopped: the reasons that are known, in OpenAI's words. Any other is a failure, not the end of an answer."""

from collections.abc import Mapping

from services.errors import ModelStreamBroken

MAX_NAMED_CHARS = 60

FINISH_REASONS: Mapping[str, str] = {
    # finished
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    # asks for tools
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    # cut off at a limit that somebody set
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    # stopped by the provider's own filter
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}
"""What providers send, in lower case -> "stop", "tool_calls", "length" or "content_filter"."""


def known_finish_reason(reason: object) -> str:
    """Return the reason in OpenAI's words. Raises ModelStreamBroken, with the reason named, where it is not one of them."""
    if isinstance(reason, str) and (known := FINISH_REASONS.get(reason.lower())):
        return known
    named = "".join(c for c in str(reason)[:MAX_NAMED_CHARS] if c.isascii() and (c.isalnum() or c in "_-. "))
    raise ModelStreamBroken(f"The model's answer did not end as it should: its finish reason is {named!r}.")
