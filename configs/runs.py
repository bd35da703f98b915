"""The settings of runs: their time, their streams, and those in the background."""

from pydantic import Field

from configs.section import PositiveSeconds, Section


class RunSettings(Section):
    max_run_s: PositiveSeconds = 600.0
    orphan_grace_s: float = Field(default=5.0, ge=0, le=600)
    max_buffered_chars: int = Field(default=65_536, ge=1_024, description="unread text per stream before it waits")
    max_flush_window_s: float = Field(default=0.15, ge=0, le=1)
    flushes_per_s: float = Field(default=650.0, gt=0, description="what the window aims at, per agent replica")
    first_batch_wait_s: float = Field(
        default=0.25,
        ge=0,
        le=5,
        description="a run that fails sooner, with nothing shown, is an HTTP status and no event",
    )
    warm_up_s: float = Field(
        default=0.0, ge=0, le=600, description="time for a turn of the default graph when a replica starts; 0 for none"
    )
    background_slots: int = Field(
        default=4, ge=0, le=1_000, description="background runs that an agent replica has at work at once"
    )
    queue_ttl_s: float = Field(
        default=86_400.0, ge=60, description="a background run that no agent has taken for so long has failed"
    )
