"""Sampling as operators write it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from configs.sampling import SamplingSettings, StratumSettings
from configs.settings import Settings, merge
from evaluation.sampler import BaseRate, Sampler, SamplingPolicy, StratumPolicy
from evaluation.strata import LongPolicy, Strata
from services.errors import ConfigurationError
from services.samples import Stratum


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which runs are judged, and which of them are long."""

    policy: SamplingPolicy
    long: LongPolicy


def sampling_of(settings: SamplingSettings, graphs: Collection[str], *, key: str = "evaluator.sampling") -> Sampling:
    """Return what the settings mean. Raises ConfigurationError for the rate of a graph that is not there."""
    for number, rule in enumerate(settings.rates):
        if rule.graph is not None and rule.graph not in graphs:
            at = f"{key}.rates.{number}.graph"
            raise ConfigurationError(f"{at}: {rule.graph!r} is not one of: {', '.join(graphs)}.", param=at)
    return Sampling(
        policy=SamplingPolicy(
            base_rate=settings.base_rate,
            rates=tuple(BaseRate(rate=rule.rate, graph=rule.graph, tenant=rule.tenant) for rule in settings.rates),
            strata={
                Stratum.DISLIKED: _stratum(settings.disliked),
                Stratum.FLAGGED: _stratum(settings.flagged),
                Stratum.FAILED: _stratum(settings.failed),
                Stratum.LONG: _stratum(settings.long),
            },
        ),
        long=LongPolicy(
            quantile=settings.long.quantile,
            duration_s=settings.long.duration_s,
            output_tokens=settings.long.output_tokens,
        ),
    )


def _stratum(settings: StratumSettings) -> StratumPolicy:
    return StratumPolicy(rate=settings.rate, per_minute=settings.per_minute)


class LiveSampling:
    """The sampling of a replica: that of the settings under what `user_config` says."""

    def __init__(self, settings: Settings, deployment: str) -> None:
        self._settings = settings
        self._key = f"user_config of {deployment}: sampling"
        configured = self.laid_over({})
        self.sampler = Sampler(configured.policy)
        self.strata = Strata(configured.long)

    def laid_over(self, changed: Mapping[str, Any]) -> Sampling:
        """Return the sampling with `changed` laid over it. Raises ConfigurationError, naming the key."""
        configured = self._settings.evaluator.sampling.model_dump()
        try:
            settings = SamplingSettings.model_validate(merge(configured, changed))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, (self._key, *first["loc"])))
            raise ConfigurationError(f"{key}: {first['msg']}.", param=key) from None
        return sampling_of(settings, self._settings.graphs, key=self._key)

    def configure(self, sampling: Sampling) -> None:
        """Sample by it from now on."""
        self.sampler.configure(sampling.policy)
        self.strata.configure(sampling.long)
