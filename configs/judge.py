"""The settings of how a judge is asked. Who judges, and what, is said beside them under `evaluator`."""

from typing import Literal

from pydantic import Field

from configs.section import Section


class JudgeSettings(Section):
    style: Literal["structured", "one_token"] | None = Field(
        default=None,
        description="structured: a reason, then a value, as JSON; one_token: yes or no by log-probabilities, for models too "
        "small for that; unset: one_token for the embedded model and where json_mode is off, else structured",
    )
    max_chars: int = Field(
        default=24_000, ge=500, le=1_000_000, description="of a run that one question shows the judge"
    )
    max_tokens: int = Field(default=1_024, ge=64, description="of a structured verdict and the thoughts before it")
    temperature: float | None = Field(default=0.0, ge=0, le=2, description="null for models that take none")
