"""What can be changed in a running agent replica through `user_config`, without a restart."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import ConfigurationError

Prompts = Mapping[str, Mapping[str, str]]
"""Prompts by graph, then by role."""


class AgentKnobs(BaseModel):
    """`user_config` of the agent deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: dict[str, dict[str, str]] = Field(default_factory=dict)
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
