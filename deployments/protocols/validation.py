"""Checks that the protocols share. Every refusal is an InvalidRequest that names the field and says what to do."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.protocols.types import Rules
from services.errors import InvalidRequest
from services.types import JsonObject, Message, ModelOptions

MIN_TIMEOUT_S = 1.0
_MAX_PARAM_CHARS = 128

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
MaxTokens = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
StopText = Annotated[str, Field(min_length=1, max_length=256)]
Stop = StopText | Annotated[list[StopText], Field(max_length=4)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]

BodyT = TypeVar("BodyT", bound="Body")


class Body(BaseModel):
    """A part of a request body: no conversions between types, and no field that we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SamplingBody(Body):
    """What every protocol lets a client ask of the model, and of a run; None leaves it to the provider or the operator."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: MaxTokens | None = Field(default=None, description="of one answer of the model")
    stop: Stop | None = Field(default=None, description="one text, or up to four, at which the model stops")
    seed: Seed | None = None
    metadata: Metadata | None = Field(default=None, description="up to 16 texts, kept with the run")
    timeout_s: Any = Field(
        default=None,
        description="seconds for the whole turn, from 1 to runs.max_run_s, which is what it has if this is absent",
        json_schema_extra={"anyOf": [{"type": "number", "minimum": MIN_TIMEOUT_S}, {"type": "null"}]},
    )

    def options(self, max_output_tokens: int | None = None) -> ModelOptions:
        """Return the model's options; `max_output_tokens` wins over `max_tokens`."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return ModelOptions(
            temperature=self.temperature,
            top_p=self.top_p,
            max_output_tokens=max_output_tokens if max_output_tokens is not None else self.max_tokens,
            stop=stop,
            seed=self.seed,
        )

    def time_limit_s(self, rules: Rules) -> float | None:
        """Return `timeout_s` if it is a number within its bounds. Raises InvalidRequest, naming both bounds."""
        value = self.timeout_s
        if value is None:
            return None
        least = min(MIN_TIMEOUT_S, rules.max_run_s)
        if type(value) not in (int, float) or not least <= value <= rules.max_run_s:
            raise InvalidRequest(
                f"The field 'timeout_s' must be a number of seconds from {least:g} to {rules.max_run_s:g}. "
                "Change it, or leave it out.",
                param="timeout_s",
            )
        return float(value)


def validate(model: type[BodyT], body: JsonObject) -> BodyT:
    """Return the body as `model`. Raises InvalidRequest for the most deeply nested error."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
    located = [(_path(item["loc"], body, item["type"]), item) for item in found]
    path, item = max(located, key=lambda pair: len(pair[0]))
    raise InvalidRequest(_sentence(path, item["type"], item["msg"]), param=".".join(path)[:_MAX_PARAM_CHARS] or None)


def _path(loc: tuple[int | str, ...], body: Any, kind: str) -> tuple[str, ...]:
    """Return where the error is in the body: pydantic's location without the names of the union members it tried."""
    path: list[str] = []
    value = body
    for part in loc:
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]  # type: ignore[index, unused-ignore]
            path.append(str(part))
    if kind == "missing":
        path.append(str(loc[-1]))
    return tuple(path)


def _sentence(path: Sequence[str], kind: str, reason: str) -> str:
    name = ".".join(path)[:_MAX_PARAM_CHARS]
    if kind == "extra_forbidden":
        return f"There is no field {name!r}. Remove it, or check its spelling."
    if kind == "missing":
        return f"The field {name!r} is required. Add it."
    return f"The field {name!r} cannot be used: {reason[0].lower()}{reason[1:]}."


def check_messages(messages: Sequence[Message], rules: Rules, *, last_is_user: bool) -> None:
    """Raise InvalidRequest for too many, too long, empty or wrongly ordered messages.

    An assistant's message may be empty: models do say nothing at times, and clients resend the history as it was.
    """
    if not messages:
        raise InvalidRequest("There are no messages. Send at least one with the role 'user'.", param="messages")
    if len(messages) > rules.max_messages:
        raise InvalidRequest(
            f"There are {len(messages)} messages; the limit is {rules.max_messages}. Leave out the oldest.",
            param="messages",
        )
    for position, message in enumerate(messages):
        _check_content(message, f"messages.{position}.content", rules.max_message_chars)
    if last_is_user and messages[-1].role != "user":
        raise InvalidRequest(
            "The last message must have the role 'user'. Put the question to answer last.",
            param=f"messages.{len(messages) - 1}.role",
        )
    if not any(message.role == "user" for message in messages):
        raise InvalidRequest("No message has the role 'user'. Add the question to answer.", param="messages")


def _check_content(message: Message, param: str, max_chars: int) -> None:
    if len(message.content) > max_chars:
        raise InvalidRequest(
            f"The message has {len(message.content)} characters; the limit is {max_chars}. Shorten it.", param=param
        )
    if message.role != "assistant" and not message.content.strip():
        raise InvalidRequest("The message is empty. Write some text, or leave it out.", param=param)


def thread_id_from_header(headers: Mapping[str, str], name: str) -> UUID:
    """Return the header's value as a thread id. Raises InvalidRequest when it is not a UUID."""
    try:
        return UUID(headers[name])
    except ValueError:
        raise InvalidRequest(f"The header {name} must hold a UUID, or 'new'.", param=name) from None
