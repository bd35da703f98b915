"""The configured providers with their variables resolved, each with what guards it."""

import os
from typing import Any

from configs.providers import ProviderSettings
from deployments.policies import policy
from services.llm import PROVIDERS
from services.llm.capability import Capabilities
from services.llm.patience import Timers
from services.llm.route import Route
from services.llm.types import ChatProvider, ProviderSpec
from services.resilience.breaker import Breaker, BreakerListener
from services.resilience.limit import AdaptiveLimit, LimitPolicy
from services.resilience.policy import BreakerPolicy


def open_route(settings: ProviderSettings, listener: BreakerListener, *, told_of_traces: bool = False) -> Route:
    """Open a provider behind a breaker, a limit and a retry budget of its own: routes share nothing but who is told."""
    return Route.of(
        _open_provider(settings, told_of_traces=told_of_traces),
        capabilities=Capabilities(
            tools=settings.tools, json_mode=settings.json_mode, context_tokens=settings.context_tokens
        ),
        timers=Timers(
            first_content_s=settings.first_token_timeout_s,
            between_content_s=settings.inter_token_timeout_s,
            whole_answer_s=settings.answer_timeout_s,
        ),
        max_output_tokens=settings.max_output_tokens,
        breaker=Breaker(settings.name, configured_breaker(settings), listeners=(listener,)),
        limit=AdaptiveLimit(configured_limit(settings)),
    )


def configured_breaker(settings: ProviderSettings) -> BreakerPolicy:
    """Return the policy that the settings give a provider's breaker. Raises ConfigurationError."""
    return policy(BreakerPolicy, f"providers.{settings.name}.breaker", settings.breaker)


def configured_limit(settings: ProviderSettings) -> LimitPolicy:
    """Return the policy that the settings give a provider's concurrency. Raises ConfigurationError."""
    return policy(LimitPolicy, f"providers.{settings.name}.concurrency", settings.concurrency)


def _open_provider(settings: ProviderSettings, *, told_of_traces: bool) -> ChatProvider:
    def resolved(value: Any) -> str:
        return "" if value is None else value if isinstance(value, str) else value.resolve(os.environ)

    return PROVIDERS[settings.kind](
        ProviderSpec(
            name=settings.name,
            model=resolved(settings.model),
            base_url=resolved(settings.base_url),
            api_key=resolved(settings.api_key),
            arguments=settings.arguments,
            max_output_tokens=settings.max_output_tokens,
            max_connections=settings.max_connections,
            connect_timeout_s=settings.connect_timeout_s,
            told_of_traces=told_of_traces,
        )
    )
