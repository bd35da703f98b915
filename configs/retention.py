"""The settings of how long what runs leave behind is kept."""

from typing import Annotated

from pydantic import Field

from configs.section import Section

KeptSeconds = Annotated[float, Field(ge=3_600, le=10 * 366 * 86_400)]
"""How long something is kept. What is kept for less than an hour would be gone before everybody had read it."""


class RetentionSettings(Section):
    """How long what runs leave behind is kept; null is for ever. docs/retention.md says what goes, and what stays."""

    every_s: float = Field(default=3_600.0, ge=60, le=7 * 86_400, description="how often what is past its time goes")
    compact_after_s: KeptSeconds | None = Field(
        default=86_400.0, description="from the end of a run until its log is put together; nothing of it is lost"
    )
    ephemeral_ttl_s: KeptSeconds | None = Field(
        default=7 * 86_400.0, description="from the end of a run without a thread until it goes, all but its bill"
    )
    thread_ttl_s: KeptSeconds | None = Field(default=None, description="how long a thread may lie idle")
    events_ttl_s: KeptSeconds | None = Field(
        default=30 * 86_400.0, description="from the end of a run until its log goes; its messages stay"
    )
    usage_ttl_s: KeptSeconds | None = Field(default=None, description="the age of a bill")
    attempts_ttl_s: KeptSeconds | None = Field(
        default=90 * 86_400.0, description="the age of a record of who was refused; what was done to keys stays"
    )
    alerts_ttl_s: KeptSeconds | None = Field(
        default=90 * 86_400.0, description="from the end of an alert until it goes"
    )
    traces_ttl_s: KeptSeconds | None = Field(default=7 * 86_400.0, description="the age of a run's trace")
