"""The settings of what judges ended runs. How a judge is asked and which runs it sees have modules of their own."""

from pydantic import Field

from configs.judge import JudgeSettings
from configs.quotas import BudgetSettings
from configs.sampling import SamplingSettings
from configs.section import Name, PositiveSeconds, Section


class EvaluatorSettings(Section):
    criteria: tuple[Name, ...] = Field(
        default=("helpfulness",), description="with safety as well, unsafe answers alert: alerts.unsafe"
    )
    queue_size: int = Field(default=256, ge=1)
    concurrency: int = Field(default=1, ge=1, le=64)
    judge_timeout_s: PositiveSeconds = 30.0
    provider: Name | None = Field(default=None, description="the provider that judges; the first one if unset")
    judge: JudgeSettings = JudgeSettings()
    calibrations: str | None = Field(
        default=None,
        min_length=1,
        description="a file of `make calibrate ... --write FILE`, shown beside scores; its path is from where the code is",
    )
    sampling: SamplingSettings = SamplingSettings()
    budget: BudgetSettings = Field(default=BudgetSettings(), description="for a month of judging, which no tenant pays")
