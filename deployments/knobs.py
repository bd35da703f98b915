"""What can be changed in a running replica through `user_config`, without a restart."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.policies import policy
from services.errors import ConfigurationError
from services.resilience.breaker import Breaker, BreakerSnapshot
from services.resilience.policy import BreakerPolicy
from services.telemetry.breakers import BreakerReport

Prompts = Mapping[str, Mapping[str, str]]
"""Prompts by graph, then by role."""


class Knobs(BaseModel):
    """The `user_config` of one deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: ClassVar[str]

    @classmethod
    def parse(cls, user_config: Mapping[str, Any]) -> Self:
        """Validate. Raises ConfigurationError, naming the key."""
        try:
            return cls.model_validate(user_config)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigurationError(f"user_config of {cls.deployment}: {key}: {first['msg']}") from None


class IngressKnobs(Knobs):
    """`limits` are plans, laid over those of the settings. Give the agent deployment the same. `trace_rate` is the share of
    runs that are traced, `tracing.sample_rate` of the settings if unset.
    """

    deployment = "ingress"

    limits: dict[str, Any] = Field(default_factory=dict)
    trace_rate: float | None = Field(default=None, ge=0, le=1)


class AgentKnobs(Knobs):
    deployment = "agent"

    prompts: dict[str, dict[str, str]] = Field(default_factory=dict)
    breakers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, Any] = Field(default_factory=dict)
    semantic: dict[str, Any] = Field(default_factory=dict)


class EvaluatorKnobs(Knobs):
    """`sampling` is laid over that of the settings. Give the agent deployment the same."""

    deployment = "evaluator"

    sampling: dict[str, Any] = Field(default_factory=dict)


class LivePrompts:
    """The prompts of every graph: those of the settings under those of the knobs.

    `roles` are those that each graph knows: a prompt for another would silently do nothing.
    """

    def __init__(self, configured: Prompts, roles: Mapping[str, Collection[str]]) -> None:
        self._configured = configured
        self._roles = roles
        self.overlay({})

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
        self._versions = {graph: _digest(roles) for graph, roles in self._current.items()}

    def __call__(self, graph: str) -> Mapping[str, str]:
        return self._current.get(graph, {})

    def version(self, graph: str) -> str:
        """Return the name of the graph's prompts: the same texts in the same roles have the same, in every replica."""
        return self._versions.get(graph, "")


def _digest(prompts: Mapping[str, str]) -> str:
    return hashlib.blake2b(orjson.dumps(sorted(prompts.items())), digest_size=6).hexdigest()


class LiveBreakers:
    """The breakers of a replica by name, each with its configured policy, under those of the knobs."""

    def __init__(self, breakers: Mapping[str, tuple[Breaker, BreakerPolicy]]) -> None:
        self._breakers = breakers

    def laid_over(self, changed: Mapping[str, Mapping[str, Any]]) -> Mapping[str, BreakerPolicy]:
        """Return every breaker's policy with the changed fields. Raises ConfigurationError for one that is not there."""
        for name in changed:
            if name not in self._breakers:
                known = ", ".join(self._breakers)
                raise ConfigurationError(f"user_config of agent: breakers.{name}: there is none. There are: {known}.")
        return {
            name: policy(
                BreakerPolicy, f"user_config of agent: breakers.{name}", {**asdict(configured), **changed.get(name, {})}
            )
            for name, (_, configured) in self._breakers.items()
        }

    def configure(self, policies: Mapping[str, BreakerPolicy]) -> None:
        """Apply policies; see `Breaker.configure` for what goes on as it was."""
        for name, changed in policies.items():
            self._breakers[name][0].configure(changed)

    def snapshots(self) -> tuple[BreakerSnapshot, ...]:
        """Return every breaker as it is now."""
        return tuple(breaker.snapshot() for breaker, _ in self._breakers.values())

    def show(self, report: BreakerReport) -> None:
        """Measure every breaker's state, so that there is a series before the first change."""
        for snapshot in self.snapshots():
            report.show(snapshot)
