"""What can be changed in a running agent replica through `user_config`, without a restart."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.sampler import sampled
from services.errors import ConfigurationError
from services.types import Run, RunOutcome, RunStatus, Sample, SampleSink

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
    """The prompts of every graph: those of the settings under those of the knobs."""

    def __init__(self, configured: Prompts) -> None:
        self._configured = configured
        self._current = dict(configured)

    def overlay(self, changed: Prompts) -> None:
        """Lay new prompts over the configured ones. Raises ConfigurationError for a graph that is not served."""
        for graph in changed:
            if graph not in self._configured:
                raise ConfigurationError(f"user_config of agent: prompts.{graph}: there is no such graph.")
        self._current = {graph: {**roles, **changed.get(graph, {})} for graph, roles in self._configured.items()}

    def __call__(self, graph: str) -> Mapping[str, str]:
        return self._current.get(graph, {})


class RunReporter:
    """Told of every run that ended; offers a sample of the completed ones to the evaluator."""

    def __init__(self, samples: SampleSink, *, sample_rate: float = 0.05) -> None:
        self._samples = samples
        self.sample_rate = sample_rate

    def run_ended(self, run: Run, outcome: RunOutcome, duration_s: float) -> None:
        if outcome.status is RunStatus.COMPLETED and sampled(run.id, self.sample_rate):
            self._samples.offer(_sample(run, outcome, self.sample_rate))


def _sample(run: Run, outcome: RunOutcome, rate: float) -> Sample:
    said = [message for message in outcome.messages if message.role == "assistant" and message.content]
    return Sample(
        run_id=run.id,
        tenant_id=run.tenant_id,
        graph=run.graph,
        question=next((message.content for message in reversed(run.messages) if message.role == "user"), ""),
        answer=said[-1].content if said else "",
        tool_results=tuple(message.content for message in outcome.messages if message.role == "tool"),
        weight=1.0 / rate,
    )
