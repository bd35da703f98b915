"""Refuses user messages that hold a link: for agents that have no business with the web."""

from collections.abc import Mapping
from typing import Any

from services.guard import ALLOWED, Action, Stage, Verdict
from services.guardrails.types import ScreenedText


class NoUrlsRule:
    """Blocks a link in the input; tool results may hold links."""

    name = "no_urls"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        """This rule has no knobs."""

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        if stage is Stage.INPUT and ("http://" in text.normal or "https://" in text.normal):
            return Verdict(action=Action.BLOCK, rule=self.name, message="Links are not accepted here. Leave them out.")
        return ALLOWED
