"""One token and its odds: what is asked for, what is read, and that it goes the guarded way of every call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from services.errors import ConfigurationError, ModelServerError, ModelStreamBroken
from services.llm import PROVIDERS
from services.llm.first_token import ODDS, first_token_odds, first_tokens
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, ProviderSpec
from services.resilience.breaker import Breaker
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.types import ModelOptions
from tests.contributing.canned import CannedProvider
from tests.services.llm.fakes import Shown

CALL = ModelCall(messages=[SystemMessage("judge"), HumanMessage("6 * 7 = 42?")], options=ModelOptions(temperature=0.0))


@dataclass
class Endpoint:
    """Answers every request with the same bytes, and keeps what it was sent."""

    body: bytes
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.asked.append(orjson.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\n" % self.status)
        writer.write(b"content-length: %d\r\n\r\n" % len(self.body) + self.body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def endpoint(body: object, status: int = 200) -> AsyncIterator[tuple[Endpoint, Route]]:
    """Serve `body`, and yield the route that asks for its first token."""
    served = Endpoint(body if isinstance(body, bytes) else orjson.dumps(body), status)
    async with await asyncio.start_server(served.answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        provider = PROVIDERS["openai"](ProviderSpec(name="judge", model="tiny", base_url=url, api_key="sk"))
        route = first_tokens(Route.of(provider, breaker=Breaker("judge")))
        yield served, route
        await route.provider.aclose()


def completion(**choice: object) -> dict[str, object]:
    told = {"message": {"role": "assistant", "content": "Yes"}, "finish_reason": "length", **choice}
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
    return {"id": "c1", "model": "tiny-1", "choices": [told], "usage": usage}


def logprobs(*odds: tuple[str, float]) -> dict[str, object]:
    return {
        "content": [{"token": "Yes", "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": p} for t, p in odds]}]
    }


async def asked(route: Route) -> tuple[AIMessage, int]:
    model = Gateway([route], retry=RetryPolicy(attempts_per_provider=1)).bind(Shown(), Deadline.after(5.0))
    answer = await model.generate(CALL, silent=True)
    return answer, model.usage.input_tokens


async def test_one_token_is_asked_for_and_its_odds_are_read() -> None:
    """Through the gateway, with its bill; not as a stream."""
    async with endpoint(completion(logprobs=logprobs(("Yes", -0.5), ("No", -1.0)))) as (served, route):
        answer, input_tokens = await asked(route)
    assert (answer.text, input_tokens) == ("Yes", 30)
    assert first_token_odds(answer) == {"Yes": -0.5, "No": -1.0}
    [body] = served.asked
    assert (body["max_completion_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert (body["temperature"], body["model"]) == (0.0, "tiny")
    assert not {"stream", "stream_options"} & body.keys()


@pytest.mark.parametrize(
    ("given", "odds"),
    [
        ({}, {}),
        ({"logprobs": None}, {}),
        ({"logprobs": {"content": []}}, {}),
        ({"logprobs": logprobs()}, {"Yes": -0.5}),
    ],
    ids=["absent", "null", "empty", "no alternatives"],
)
async def test_a_provider_may_give_fewer_odds_or_none(given: dict[str, object], odds: dict[str, float]) -> None:
    async with endpoint(completion(**given)) as (_, route):
        answer, _ = await asked(route)
    assert answer.response_metadata[ODDS] == odds


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        {"choices": []},
        completion(logprobs=[1]),
        completion(logprobs={"content": [{"token": "Yes", "logprob": "much"}]}),
        completion(finish_reason=None),
    ],
)
async def test_another_shape_is_a_broken_answer(body: object) -> None:
    async with endpoint(body) as (_, route):
        with pytest.raises(ModelStreamBroken):
            await asked(route)


async def test_a_failure_counts_with_the_breaker_of_its_provider() -> None:
    """Asked the other way it is the same provider: its failures add up."""
    async with endpoint({"error": {"message": "down"}}, status=503) as (_, route):
        with pytest.raises(ModelServerError):
            await asked(route)
        assert route.breaker.snapshot().calls == 1


def test_a_provider_without_odds_is_refused_by_name() -> None:
    route = Route.of(CannedProvider(ProviderSpec(name="canned", model="none")))
    with pytest.raises(ConfigurationError, match="canned gives no log-probabilities"):
        first_tokens(route)
