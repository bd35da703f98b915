"""Attempts to talk the model out of its instructions: signs and a classifier, weighed together, against two thresholds.

A tripwire, not a wall: docs/guardrails.md has what it finds of what, and what no reading of a text can find.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from services.guard import ALLOWED, Action, Stage, Verdict
from services.guardrails.classifier import Classifier
from services.guardrails.evidence import Reader
from services.guardrails.knobs import RuleKnobs
from services.guardrails.model_card import WEIGHTS, read_card
from services.guardrails.signs import SIGNS
from services.guardrails.types import ScreenedText
from services.guardrails.views import DECODERS


class InjectionKnobs(RuleKnobs):
    """`block_at` and `flag_at` are scores from 0 to 1; those that are measured are used where they are not set."""

    block_at: float | None = Field(default=None, ge=0, le=1, strict=True)
    flag_at: float | None = Field(default=None, ge=0, le=1, strict=True)
    withhold_tool_results: bool = Field(default=True, strict=True)
    decoders: tuple[str, ...] = tuple(DECODERS)
    without_signs: tuple[str, ...] = ()

    @field_validator("decoders")
    @classmethod
    def _are_decoders(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, tuple(DECODERS))

    @field_validator("without_signs")
    @classmethod
    def _are_signs(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, tuple(sign.name for sign in SIGNS))

    @model_validator(mode="after")
    def _flags_before_it_blocks(self) -> Self:
        if self.block_at is not None and self.flag_at is not None and self.flag_at > self.block_at:
            raise ValueError("flag_at is above block_at, so nothing would be flagged")
        return self


class InjectionRule:
    """Blocks a text that scores `block_at` or more, and flags one from `flag_at`: it passes, and its turn is not trusted.

    A tool's result is withheld where a user's message would be blocked, unless `withhold_tool_results` is false: then it is
    flagged. What the model itself says is not looked at. Raises ConfigurationError for weights that are not the shipped ones.
    """

    name = "injection"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        chosen, card = InjectionKnobs.read(self.name, knobs), read_card()
        classifier = Classifier.load(WEIGHTS, card.sha256)
        self._reader = Reader(classifier, decoders=chosen.decoders, without=chosen.without_signs)
        self._weighing = card.weighing
        self._block_at = card.block_at if chosen.block_at is None else chosen.block_at
        self._flag_at = min(card.flag_at, self._block_at) if chosen.flag_at is None else chosen.flag_at
        self._withhold_tool_results = chosen.withhold_tool_results

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        if stage is Stage.OUTPUT:
            return ALLOWED
        evidence = self._reader.read(text.raw)
        score = self._weighing.score(evidence)
        if score < min(self._flag_at, self._block_at):
            return Verdict(action=Action.ALLOW, score=score)
        blocked = score >= self._block_at and (stage is Stage.INPUT or self._withhold_tool_results)
        return Verdict(
            action=Action.BLOCK if blocked else Action.FLAG,
            rule=f"{self.name}.{evidence.strongest}",
            message="The text looks like an attempt to override the assistant's instructions. Rephrase it.",
            score=score,
        )


def _known(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {unknown}; choose from {', '.join(known)}")
    return names
