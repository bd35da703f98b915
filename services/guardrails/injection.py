"""Obvious attempts to talk the model out of its instructions.

A tripwire, not a wall: it knows the phrases that attacks use openly, after normalisation. Every quantifier is bounded, so the
time is linear in the text.
"""

import re
from collections.abc import Mapping
from typing import Any

from services.errors import ConfigurationError
from services.guardrails.types import ScreenedText
from services.types import ALLOWED, Action, Stage, Verdict

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


class InjectionRule:
    """Blocks a text that holds one of the known phrases. `patterns` (a knob) names those to use; all by default."""

    name = "injection"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        names = knobs.get("patterns", list(PATTERNS))
        unknown = [name for name in names if name not in PATTERNS]
        if unknown:
            raise ConfigurationError(f"injection.patterns: unknown {unknown}; choose from {', '.join(PATTERNS)}.")
        self._patterns = {name: PATTERNS[name] for name in names}

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        for name, pattern in self._patterns.items():
            if pattern.search(text.normal):
                message = "The text looks like an attempt to override the assistant's instructions. Rephrase it."
                return Verdict(action=Action.BLOCK, rule=f"{self.name}.{name}", message=message)
        return ALLOWED
