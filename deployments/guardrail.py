"""The `guardrail` deployment: verdicts on texts. CPU-bound, so it has replicas of its own and scales by itself."""

from typing import Any

from services.guard import Stage, Verdict
from services.guardrails.chain import build_chain


class GuardrailReplica:
    """`user_config` is a mapping of a rule's name to its knobs; see the rules in services/guardrails/."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        self._rules = rules
        self._chain = build_chain(rules, {})

    async def check(self, texts: list[str], stage: Stage) -> Verdict:
        return await self._chain.check(texts, stage)

    def reconfigure(self, user_config: dict[str, dict[str, Any]]) -> None:
        """Rebuild the chain with new knobs. A wrong one is refused with a message, and the old chain stays."""
        self._chain = build_chain(self._rules, user_config)

    async def check_health(self) -> None:
        """Alive when the loop answers."""
