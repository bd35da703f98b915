"""The settings of a provider: one model behind one endpoint."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from configs.section import EnvRef, Name, PositiveSeconds, Section


class ProviderSettings(Section):
    """One model behind one endpoint. Providers are tried in the order they are listed."""

    name: Name
    kind: str = Field(description="a key of services.llm.PROVIDERS")
    model: str | EnvRef
    base_url: str | EnvRef | None = None
    api_key: EnvRef | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict, description="handed to the provider as they are")
    max_output_tokens: int = Field(default=4_096, ge=1)
    max_connections: int = Field(default=2_000, ge=1, description="open connections to this provider, per replica")
    connect_timeout_s: PositiveSeconds = 5.0
    first_token_timeout_s: PositiveSeconds = Field(default=20.0, description="reasoning models need more")
    inter_token_timeout_s: PositiveSeconds = 15.0
    answer_timeout_s: PositiveSeconds = Field(
        default=300.0, description="for a whole answer, however steadily it comes"
    )
    tools: bool = Field(default=True, description="whether the model can call tools")
    json_mode: bool = Field(default=True, description="whether it can be held to JSON")
    context_tokens: int | None = Field(default=None, ge=1, description="its window; unset: nothing is known")
    breaker: Mapping[str, Any] = Field(
        default_factory=dict, description="fields of services.resilience.BreakerPolicy; overlaid live by user_config"
    )
    concurrency: Mapping[str, Any] = Field(
        default_factory=dict, description="fields of services.resilience.LimitPolicy, per replica"
    )
