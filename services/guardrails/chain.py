"""The rules in order: the first that blocks decides."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.errors import ConfigurationError
from services.guardrails import GUARDRAILS
from services.guardrails.normalise import normalise
from services.guardrails.types import Guardrail, ScreenedText
from services.types import ALLOWED, Action, Stage, Verdict

Knobs = Mapping[str, Mapping[str, Any]]


class GuardrailChain:
    """Implements `Guard` in this process. CPU-bound: call it from a deployment of its own, not from a busy event loop."""

    def __init__(self, rules: Sequence[Guardrail]) -> None:
        self._rules = tuple(rules)

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        """Return the first verdict that is not to allow, over the texts in order."""
        for text in texts:
            screened = ScreenedText(raw=text, normal=normalise(text))
            for rule in self._rules:
                verdict = rule.check(screened, stage)
                if verdict.action is not Action.ALLOW:
                    return verdict
        return ALLOWED


def build_chain(names: Sequence[str], knobs: Knobs) -> GuardrailChain:
    """Return the chain of the named rules, each with its knobs. Raises ConfigurationError for an unknown name."""
    unknown = [name for name in (*names, *knobs) if name not in GUARDRAILS]
    if unknown:
        raise ConfigurationError(f"There is no guardrail {unknown[0]!r}. Choose from: {', '.join(GUARDRAILS)}.")
    return GuardrailChain([GUARDRAILS[name](knobs.get(name, {})) for name in names])
