"""Ends an answer that shouts: for assistants who speak to people in distress."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from services.guard import ALLOWED, Action, Verdict
from services.guardrails.knobs import RuleKnobs
from services.guardrails.semantic.types import Ask, Context


class ShoutingKnobs(RuleKnobs):
    least_letters: int = Field(default=12, ge=1, strict=True)


class ShoutingCheck:
    """Blocks a sentence that is all in capitals, and has some letters."""

    name = "shouting"

    def __init__(self, knobs: Mapping[str, Any], ask: Ask) -> None:
        self._least_letters = ShoutingKnobs.read(self.name, knobs).least_letters

    async def judge(self, piece: str, context: Context) -> Verdict:
        if piece.isupper() and sum(map(str.isalpha, piece)) >= self._least_letters:
            return Verdict(action=Action.BLOCK, rule="semantic.shouting", message="The answer was stopped: it shouted.")
        return ALLOWED
