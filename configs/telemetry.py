"""The settings of what a replica tells about its work: traces of runs, and lines in the log."""

from typing import Literal

from pydantic import Field

from configs.section import Name, Section


class TracingSettings(Section):
    """Traces go into the runs' own record, and to a collector where `OTEL_EXPORTER_OTLP_ENDPOINT` is set: docs/tracing.md"""

    sample_rate: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="of runs; 0 traces nothing. `trace_rate` in the ingress's user_config goes before",
    )
    max_extra_per_s: float = Field(
        default=5.0,
        ge=0,
        le=1_000,
        description="traces a replica keeps beyond the rate: of clients that ask, and as many of what went wrong",
    )
    max_spans: int = Field(default=256, ge=16, le=4_096, description="of a run, in one process")
    tell_providers: tuple[Name, ...] = Field(
        default=(),
        description="which are sent a sampled call's `traceparent`; no provider of somebody else's need know",
    )


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="of our own lines; at DEBUG alone they have what people, models and exceptions say",
    )
    to_stderr: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="WARNING", description="from which level on a line is also written to stderr, as text"
    )
