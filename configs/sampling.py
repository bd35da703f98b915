"""The settings of which runs are judged. What each of them means is said in docs/evaluation.md."""

from typing import Annotated

from pydantic import Field

from configs.section import Name, Section

Share = Annotated[float, Field(ge=0, le=1)]


class StratumSettings(Section):
    """How often a run of one kind is taken, where that is more often than its base rate."""

    rate: Share = 1.0
    per_minute: float | None = Field(
        default=60.0, gt=0, description="taken in a minute, per replica, before the rate is lowered; null: no cap"
    )


class LongSettings(StratumSettings):
    """A run is long beyond a quantile of the last runs of its graph, or beyond a bound where one is given."""

    quantile: float = Field(default=0.99, ge=0.5, lt=1)
    duration_s: float | None = Field(default=None, gt=0)
    output_tokens: int | None = Field(default=None, ge=1)


class BaseRateSettings(Section):
    """The base rate of the runs of a graph, of a tenant, or of both."""

    rate: Share
    graph: Name | None = None
    tenant: str | None = None


class SamplingSettings(Section):
    """All of it may change live, in `user_config` of agent and evaluator."""

    base_rate: Share = Field(default=0.05, description="of runs that completed or failed; 0: nothing is judged")
    rates: tuple[BaseRateSettings, ...] = Field(
        default=(), description="other base rates: the first that fits; 0: none of them is judged, of whatever kind"
    )
    disliked: StratumSettings = StratumSettings()
    flagged: StratumSettings = StratumSettings()
    failed: StratumSettings = StratumSettings()
    long: LongSettings = LongSettings()
