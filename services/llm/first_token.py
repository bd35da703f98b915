"""The first token of an answer, with how likely it was and what else it might have been: all that a small judge is asked for.

It goes the way of every call, through the breaker, the limit, the timers and the purse of its route; only the provider is asked
another way, for one token and not for a stream.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import AIMessage

from services.errors import ConfigurationError
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink

ODDS = "first_token"
"""Where in an answer's `response_metadata` the log-probabilities are, by token."""

ALTERNATIVES = 20
"""How many tokens are asked for: the most that OpenAI gives."""


@runtime_checkable
class GivesOdds(Protocol):
    """A provider that can be asked for one token and its alternatives. Raises as `ChatProvider.generate`."""

    async def first_token(self, call: ModelCall, sink: TextSink) -> AIMessage: ...

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Implements `ChatProvider`: every answer is one token, with its odds."""

    provider: GivesOdds

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def model(self) -> str:
        return self.provider.model

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        return await self.provider.first_token(call, sink)

    async def aclose(self) -> None:
        await self.provider.aclose()


def first_tokens(route: Route) -> Route:
    """Return the route with the same guards, asked for first tokens. Raises ConfigurationError where it gives no odds."""
    if not isinstance(route.provider, GivesOdds):
        raise ConfigurationError(f"Provider {route.name} gives no log-probabilities, which one_token needs.")
    return replace(route, provider=FirstTokens(route.provider))


def first_token_odds(answer: AIMessage) -> Mapping[str, float]:
    """Return the log-probabilities of what the answer might have begun with; empty where the provider gave none."""
    odds: Mapping[str, float] = answer.response_metadata.get(ODDS) or {}
    return odds


def odds_in(body: Mapping[str, Any]) -> dict[str, float]:
    """Read the log-probabilities of the first token from a chat completion in OpenAI's form.

    Raises the TypeError, LookupError or ValueError of reading another shape.
    """
    content = (body["choices"][0].get("logprobs") or {}).get("content") or []
    if not content:
        return {}
    odds = {str(one["token"]): float(one["logprob"]) for one in content[0].get("top_logprobs") or content[:1]}
    return {token: logprob for token, logprob in odds.items() if not math.isnan(logprob)}
