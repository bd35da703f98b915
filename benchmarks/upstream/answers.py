"""What the simulated model says: deterministic text, tool calls on cue, and their encoding."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from benchmarks import stamps
from benchmarks.upstream.directive import Directive
from benchmarks.upstream.examples import example_of
from benchmarks.upstream.reply import DONE_EVENT, End, Reply, Step, whole
from benchmarks.upstream.request import ChatRequest

_TALE = (
    "the sun set low and red over the old bay as two men sat and ate figs by the sea one had a map and one had a net "
    "so we all let the day go by and put out the oil lamp for the way was long but the new road led us home"
)
_WORDS = tuple(_TALE.split())
_SENTENCE = 12
_ARITHMETIC = re.compile(r"what is\s+([0-9(][0-9\s+\-*/().]*[-+*/][0-9\s+\-*/().]*[0-9)])", re.IGNORECASE)
_CALCULATOR = "calculator"
_CREATED = 1_700_000_000
_PIECE = 4
_ARGUMENT_PIECE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One model call's answer, in the form of a stream and in the form of a message."""

    deltas: tuple[bytes, ...]
    """Each the JSON of one `delta`."""
    message: dict[str, Any]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0

    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


def compose(request: ChatRequest, directive: Directive, *, arrived_us: int) -> Turn:
    """The answer to one request."""
    calls = _calls(request, directive)
    if calls:
        return _tool_turn(request, directive, calls)
    tokens = _tokens(request, directive)
    reasoning = tuple(word(index) for index in range(int(directive.reasoning)))
    content = "".join(tokens)
    deltas = tuple(_text_delta("reasoning_content", token, stamp=False) for token in reasoning)
    deltas += tuple(_text_delta("content", token, stamp=directive.stamp) for token in tokens)
    if directive.stamp and tokens:
        mark = stamps.ARRIVED_MARK + stamps.encode(arrived_us) + stamps.UNSENT
        deltas = (
            *deltas[: len(reasoning)],
            deltas[len(reasoning)].replace(stamps.UNSENT, mark),
            *deltas[len(reasoning) + 1 :],
        )
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    return Turn(
        deltas=deltas,
        message=message,
        finish_reason=directive.finish_reason or "stop",
        prompt_tokens=request.prompt_tokens,
        completion_tokens=len(tokens) + len(reasoning),
        reasoning_tokens=len(reasoning),
    )


def streamed(request: ChatRequest, directive: Directive, turn: Turn) -> Reply:
    """The answer as server-sent events."""
    envelope = {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": request.model,
    }
    prefix = b"data: " + orjson.dumps(envelope)[:-1] + b',"choices":[{"index":0,"delta":'
    suffix = b',"logprobs":null,"finish_reason":null}]}\n\n'
    end = b',"logprobs":null,"finish_reason":' + orjson.dumps(turn.finish_reason) + b"}]}\n\n"

    def opening() -> Iterator[Step]:
        yield directive.first_token_s, prefix + b'{"role":"assistant","content":""}' + suffix
        for index, delta in enumerate(turn.deltas):
            yield directive.token_s if index else 0.0, prefix + delta + suffix

    closing: list[Step] = [(0.0, prefix + b"{}" + end)]
    if request.include_usage:
        closing.append((0.0, b"data: " + orjson.dumps({**envelope, "choices": [], "usage": turn.usage()}) + b"\n\n"))
    closing += [(0.0, DONE_EVENT), (0.0, End.DONE)]
    return Reply(
        opening=opening(),
        closing=closing,
        delta=lambda text: prefix + orjson.dumps({"content": text}) + suffix,
        stamped=directive.stamp,
    )


def complete(request: ChatRequest, directive: Directive, turn: Turn) -> Reply:
    """The answer as one JSON object, after the time its tokens would have taken."""
    body = {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": request.model,
        "choices": [{"index": 0, "message": turn.message, "logprobs": None, "finish_reason": turn.finish_reason}],
        "usage": turn.usage(),
    }
    delay_s = directive.first_token_s + directive.token_s * max(0, len(turn.deltas) - 1)
    return whole(orjson.dumps(body), delay_s=delay_s)


@lru_cache(maxsize=4096)
def word(index: int) -> str:
    """The deterministic token at one place of a text: a short word after a space, a full stop every twelve."""
    text = _WORDS[index % len(_WORDS)]
    place = index % _SENTENCE
    text = text.capitalize() if place == 0 else text
    return f"{' ' if index else ''}{text}{'.' if place == _SENTENCE - 1 else ''}"


@lru_cache(maxsize=4096)
def _text_delta(field: str, token: str, *, stamp: bool) -> bytes:
    return orjson.dumps({field: token + stamps.UNSENT.decode() if stamp else token})


def _tokens(request: ChatRequest, directive: Directive) -> tuple[str, ...]:
    if directive.chunks is not None:
        return directive.chunks
    text = directive.text
    if text is not None and directive.echo is not None:
        found = re.search(directive.echo, request.said)
        text = text.replace("{echo}", found[1] if found else "", 1)
    if text is None and request.tool_results:
        text = f"The result is {', '.join(request.tool_results)}."
    if text is None:
        text = example_of(request.body.get("response_format"))
    if text is None:
        return tuple(word(index) for index in range(int(directive.tokens)))
    return tuple(text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _calls(request: ChatRequest, directive: Directive) -> list[tuple[str, str]]:
    """(name, arguments) of the calls to make now; none once the rounds are used up."""
    if request.step >= directive.tool_rounds:
        return []
    if directive.tool_calls:
        return [(str(call["name"]), _arguments(call.get("arguments", {}))) for call in directive.tool_calls]
    question = _ARITHMETIC.search(request.user_text)
    if question is not None and _CALCULATOR in request.tool_names:
        return [(_CALCULATOR, _arguments({"expression": question[1].strip()}))]
    return []


def _arguments(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _tool_turn(request: ChatRequest, directive: Directive, calls: list[tuple[str, str]]) -> Turn:
    made = [
        {"id": f"call_{request.number}_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]
    deltas = tuple(itertools.chain.from_iterable(_call_deltas(index, call) for index, call in enumerate(made)))
    return Turn(
        deltas=deltas,
        message={"role": "assistant", "content": None, "tool_calls": made},
        finish_reason=directive.finish_reason or "tool_calls",
        prompt_tokens=request.prompt_tokens,
        completion_tokens=len(deltas),
    )


def _call_deltas(index: int, call: dict[str, Any]) -> Iterator[bytes]:
    """The name first, then the arguments in fragments."""
    function = call["function"]
    yield orjson.dumps(
        {"tool_calls": [{"index": index, **call, "function": {"name": function["name"], "arguments": ""}}]}
    )
    arguments = function["arguments"]
    for start in range(0, len(arguments), _ARGUMENT_PIECE):
        fragment = arguments[start : start + _ARGUMENT_PIECE]
        yield orjson.dumps({"tool_calls": [{"index": index, "function": {"arguments": fragment}}]})
