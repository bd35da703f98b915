"""One provider with everything that guards it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.errors import Overloaded
from services.llm.capability import Capabilities
from services.llm.patience import Timers
from services.llm.types import ChatProvider
from services.llm.verdicts import OF_CLIENTS, Verdicts
from services.resilience.breaker import Breaker, BreakerState
from services.resilience.limit import AdaptiveLimit
from services.resilience.retry import RetryBudget
from services.types import ModelOptions

FAIL_OVER_SHARE = 0.25
"""Of a provider's concurrency, for calls that failed elsewhere first."""

FULL_RETRY_S = 1.0


class FailOverCap:
    """How many calls may be on their way to a provider at once because another one failed them.

    A quarter of the provider's present limit, so that one provider's bad minute does not fill the next one's queue.
    """

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises Overloaded when there is none."""
        if self._taken >= max(1, int(self._limit.limit * FAIL_OVER_SHARE)):
            raise Overloaded("Too many calls are failing over to this provider.", retry_after_s=FULL_RETRY_S)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A provider as the gateway calls it. Every part is this route's own: routes share nothing that one could exhaust.

    `verdicts` are what its calls say about the provider's health.
    """

    provider: ChatProvider
    capabilities: Capabilities
    timers: Timers
    max_output_tokens: int
    breaker: Breaker
    limit: AdaptiveLimit
    retries: RetryBudget
    fail_overs: FailOverCap
    verdicts: Verdicts = OF_CLIENTS

    @classmethod
    def of(
        cls,
        provider: ChatProvider,
        *,
        capabilities: Capabilities = Capabilities(),  # noqa: B008  frozen
        timers: Timers = Timers(),  # noqa: B008  frozen
        max_output_tokens: int = 4_096,
        breaker: Breaker | None = None,
        limit: AdaptiveLimit | None = None,
        retries: RetryBudget | None = None,
    ) -> "Route":
        """Return a route with parts of its own; what is not given has its policy's defaults."""
        limit = limit or AdaptiveLimit()
        return cls(
            provider=provider,
            capabilities=capabilities,
            timers=timers,
            max_output_tokens=max_output_tokens,
            breaker=breaker or Breaker(f"{provider.name}/{provider.model}"),
            limit=limit,
            retries=retries or RetryBudget(),
            fail_overs=FailOverCap(limit),
        )

    @property
    def name(self) -> str:
        return self.provider.name

    def output_limit(self, options: ModelOptions) -> int:
        """The tokens that an answer may have: the operator's limit, or the client's where that is less."""
        return min(options.max_output_tokens or self.max_output_tokens, self.max_output_tokens)

    @property
    def in_service(self) -> bool:
        """Whether its breaker is closed: calls then go to it first, and to another only after it failed them."""
        return self.breaker.state is BreakerState.CLOSED
