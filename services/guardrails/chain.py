"""The rules in order over every text: the most severe verdict decides, so that no redaction hides a block."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.errors import ConfigurationError
from services.guard import ALLOWED, Action, Stage, Verdict, worst
from services.guardrails import GUARDRAILS
from services.guardrails.types import Guardrail, ScreenedText

Knobs = Mapping[str, Mapping[str, Any]]


class GuardrailChain:
    """Implements `Guard` in this process. CPU-bound: call it from a deployment of its own, not from a busy event loop."""

    def __init__(self, rules: Sequence[Guardrail]) -> None:
        self._rules = tuple(rules)

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        """Return the most severe verdict over all rules and texts: the first block, redaction or flag, or else to allow.

        There is one replacement in a verdict, so with several texts it is that of the first which needs one.
        """
        verdict = ALLOWED
        for text in texts:
            verdict = worst(verdict, self.judge(text, stage))
            if verdict.action is Action.BLOCK:
                return verdict
        return verdict

    def judge(self, text: str, stage: Stage) -> Verdict:
        """Return the most severe verdict of all rules on one text.

        Rules that redact it do so one after another, each on what the last one left.
        """
        original, lenient, redaction = ScreenedText(raw=text), ALLOWED, ALLOWED
        for rule in self._rules:
            verdict = rule.check(original, stage)
            if verdict.action is Action.BLOCK:
                return verdict
            if verdict.action is Action.REDACT:
                redaction = _redacted_too(redaction, rule, verdict, stage)
            else:
                lenient = worst(lenient, verdict)
        return worst(lenient, redaction)


def _redacted_too(earlier: Verdict, rule: Guardrail, verdict: Verdict, stage: Stage) -> Verdict:
    """Return one redaction for the earlier one and this rule's. Without a replacement nothing of the text may be shown."""
    if earlier.action is Action.ALLOW or verdict.replacement is None:
        return verdict
    if earlier.replacement is None:
        return earlier
    again = rule.check(ScreenedText(raw=earlier.replacement), stage)
    if again.action.passes:
        return earlier
    if again.action is Action.BLOCK:
        return again
    return replace(earlier, replacement=again.replacement)


def build_chain(names: Sequence[str], knobs: Knobs) -> GuardrailChain:
    """Return the chain of the named rules, each with its knobs. Raises ConfigurationError for an unknown name."""
    unknown = [name for name in (*names, *knobs) if name not in GUARDRAILS]
    if unknown:
        raise ConfigurationError(f"There is no guardrail {unknown[0]!r}. Choose from: {', '.join(GUARDRAILS)}.")
    return GuardrailChain([GUARDRAILS[name](knobs.get(name, {})) for name in names])
