"""The settings of what may come in and what may go out."""

from typing import Any, Literal

from pydantic import Field

from configs.quotas import BudgetSettings
from configs.section import Name, PositiveSeconds, Section

OutputAction = Literal["allow", "redact", "block"]


class SemanticSettings(Section):
    """What sentences of an answer mean is judged, by `checks`: a check's name and its knobs, in order. May change live."""

    enabled: bool = False
    mode: Literal["auto", "sync", "async"] = Field(
        default="auto",
        description="sync: a sentence is shown once it is judged; async: at once, and taken back if need be",
    )
    checks: dict[Name, dict[str, Any]] = Field(default={}, description="each may have a deadline_s, 2 if unset")
    provider: Name | None = Field(
        default=None, description="the provider that the check `judge` asks; the first if unset"
    )
    budget: BudgetSettings = Field(default=BudgetSettings(), description="for a month of judging, which no tenant pays")


class OutputSettings(Section):
    """What becomes of what a run is about to say: `redact` puts a notice in its place, `block` ends the answer there."""

    secrets: OutputAction = "redact"
    cards: OutputAction = "redact"
    ibans: OutputAction = "redact"
    ssns: OutputAction = "redact"
    emails: OutputAction = "allow"
    phones: OutputAction = "allow"
    ips: OutputAction = "allow"
    images: OutputAction = Field(default="redact", description="from hosts that nobody named")
    links: OutputAction = Field(default="allow", description="to hosts that nobody named")
    prompt: OutputAction = Field(default="redact", description="eight words of the instructions in a row")
    canary: OutputAction = "block"
    canaries: tuple[str, ...] = Field(default=(), description="texts that stand in a prompt so as never to be said")
    allow_texts: tuple[str, ...] = Field(
        default=(), description="items that may be said; @example.com: any address there"
    )
    allow_hosts: tuple[str, ...] = Field(default=(), description="of images and links; *.example.com: all below it")
    semantic: SemanticSettings = SemanticSettings()


class GuardrailSettings(Section):
    rules: tuple[Name, ...] = ("length", "injection")
    timeout_s: PositiveSeconds = 2.0
    output: OutputSettings = OutputSettings()
