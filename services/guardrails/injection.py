"""Obvious attempts to talk the model out of its instructions.

A tripwire, not a wall: it knows the phrases that attacks use openly, after normalisation. Every quantifier is bounded, so the
time is linear in the text.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from services.guard import ALLOWED, Action, Stage, Verdict
from services.guardrails.knobs import RuleKnobs
from services.guardrails.types import ScreenedText

_OVERRIDE = r"(?:ignore|disregard|forget|override|bypass)"
_EARLIER = r"(?:previous|prior|above|earlier|preceding|foregoing|original|initial|system|your)"
_ORDERS = r"(?:instructions?|directions?|prompts?|rules?|guidelines?|commands?|directives?)"

PATTERNS: Mapping[str, re.Pattern[str]] = {
    "override": re.compile(rf"\b{_OVERRIDE}\b(?: \w{{1,12}}){{0,3}} {_EARLIER}(?: \w{{1,12}}){{0,2}} {_ORDERS}\b"),
    "reveal": re.compile(
        r"\b(?:reveal|print|repeat|show|output|tell me)\b(?: \w{1,12}){0,4} "
        r"(?:system|hidden|initial) (?:prompt|message|instructions)\b"
    ),
    "persona": re.compile(
        r"\byou are (?:now )?(?:dan\b|in developer mode|an? (?:unrestricted|unfiltered|jailbroken) )"
    ),
    "chat_markup": re.compile(r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?inst\]|<<sys>>"),
}


class InjectionKnobs(RuleKnobs):
    """A rule without a pattern would let everything through: leave it out of `guardrail.rules` instead."""

    patterns: tuple[str, ...] = Field(default=tuple(PATTERNS), min_length=1)

    @field_validator("patterns")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in PATTERNS]
        if unknown:
            raise ValueError(f"unknown {unknown}; choose from {', '.join(PATTERNS)}")
        return names


class InjectionRule:
    """Blocks a text that holds one of the known phrases. `patterns` (a knob) names those to use; all by default."""

    name = "injection"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        names = InjectionKnobs.read(self.name, knobs).patterns
        self._patterns = {name: PATTERNS[name] for name in names}

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        for name, pattern in self._patterns.items():
            if pattern.search(text.normal):
                message = "The text looks like an attempt to override the assistant's instructions. Rephrase it."
                return Verdict(action=Action.BLOCK, rule=f"{self.name}.{name}", message=message)
        return ALLOWED
