"""What can be changed in a running agent replica through `user_config`, without a restart."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.policies import policy
from services.errors import ConfigurationError
from services.resilience.breaker import Breaker
from services.resilience.policy import BreakerPolicy

Prompts = Mapping[str, Mapping[str, str]]
"""Prompts by graph, then by role."""


class AgentKnobs(BaseModel):
    """`user_config` of the agent deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: dict[str, dict[str, str]] = Field(default_factory=dict)
    breakers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    sample_rate: float = Field(default=0.05, ge=0, le=1)

    @classmethod
    def parse(cls, user_config: Mapping[str, Any]) -> "AgentKnobs":
        """Validate. Raises ConfigurationError, naming the key."""
        try:
            return cls.model_validate(user_config)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigurationError(f"user_config of agent: {key}: {first['msg']}") from None


class LivePrompts:
    """The prompts of every graph: those of the settings under those of the knobs.

    `roles` are those that each graph knows: a prompt for another would silently do nothing.
    """

    def __init__(self, configured: Prompts, roles: Mapping[str, Collection[str]]) -> None:
        self._configured = configured
        self._roles = roles
        self._current = dict(configured)

    def overlay(self, changed: Prompts) -> None:
        """Lay new prompts over the configured ones. Raises ConfigurationError for a graph or a role that is not there."""
        for graph, prompts in changed.items():
            if graph not in self._configured:
                raise ConfigurationError(f"user_config of agent: prompts.{graph}: there is no such graph.")
            known = self._roles[graph]
            for role in prompts:
                if role not in known:
                    key = f"prompts.{graph}.{role}"
                    raise ConfigurationError(f"user_config of agent: {key}: the roles are {', '.join(known)}.")
        self._current = {graph: {**roles, **changed.get(graph, {})} for graph, roles in self._configured.items()}

    def __call__(self, graph: str) -> Mapping[str, str]:
        return self._current.get(graph, {})


class LiveBreakers:
    """The breakers of every provider: their configured policies under those of the knobs."""

    def __init__(self, breakers: Mapping[str, Breaker], configured: Mapping[str, BreakerPolicy]) -> None:
        self._breakers = breakers
        self._configured = configured

    def laid_over(self, changed: Mapping[str, Mapping[str, Any]]) -> Mapping[str, BreakerPolicy]:
        """Return every provider's policy with the changed fields. Raises ConfigurationError for one that is not there."""
        for provider in changed:
            if provider not in self._configured:
                known = ", ".join(self._configured)
                raise ConfigurationError(f"user_config of agent: breakers.{provider}: the providers are {known}.")
        return {
            name: policy(
                BreakerPolicy, f"user_config of agent: breakers.{name}", {**asdict(configured), **changed.get(name, {})}
            )
            for name, configured in self._configured.items()
        }

    def configure(self, policies: Mapping[str, BreakerPolicy]) -> None:
        """Apply policies; see `Breaker.configure` for what goes on as it was."""
        for name, changed in policies.items():
            self._breakers[name].configure(changed)
