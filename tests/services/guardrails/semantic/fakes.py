"""A check that rules as it is told, and what a reading lets out."""

import asyncio
from collections.abc import Callable

from services.guard import ALLOWED, Action, Verdict
from services.guardrails.semantic.reading import Reading
from services.guardrails.semantic.tier import Mode, SemanticTier, Tally, TimedCheck
from services.guardrails.semantic.types import Context

BAD = Verdict(action=Action.BLOCK, rule="semantic.fake", message="The answer was stopped: a bird.")
FLAGGED = Verdict(action=Action.FLAG, rule="semantic.fake.flag", message="Something was flagged.")


def heron(piece: str) -> Verdict:
    """Sentences with a heron in them end the answer, those with a stork are flagged."""
    return BAD if "heron" in piece else FLAGGED if "stork" in piece else ALLOWED


class FakeCheck:
    """Rules at once, or, where it `waits`, when it is let: `go` is the event."""

    name = "fake"

    def __init__(self, rule: Callable[[str], Verdict] = heron, *, waits: bool = False) -> None:
        self.rule = rule
        self.go = asyncio.Event()
        self.asked: list[tuple[str, Context]] = []
        self.at_once = 0
        self.most_at_once = 0
        if not waits:
            self.go.set()

    async def judge(self, piece: str, context: Context) -> Verdict:
        self.asked.append((piece, context))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.go.wait()
        finally:
            self.at_once -= 1
        return self.rule(piece)


def tier_of(*checks: FakeCheck, mode: Mode = Mode.AUTO, deadline_s: float = 60.0) -> SemanticTier:
    return SemanticTier([TimedCheck(check=check, deadline_s=deadline_s) for check in checks], mode)


class Shown:
    """Implements `Outlet` and `Ahead`, and keeps what it was told."""

    def __init__(self) -> None:
        self.text = ""
        self.leading = ""
        self.judged_chars = 0
        self.retracted: list[str] = []
        self.told: list[tuple[str | None, int]] = []
        self.tally = Tally()

    def show(self, text: str) -> None:
        self.text += text

    def keep(self, text: str) -> None:
        self.text += text

    def cut(self, chars: int) -> None:
        self.text = self.text[:chars]

    def ahead(self, delta: str) -> None:
        self.leading += delta

    def judged(self, chars: int) -> None:
        self.judged_chars += chars

    def retract(self, rule: str) -> None:
        self.retracted.append(rule)

    def reading(self, tier: SemanticTier, *, ahead: bool = False, asked: str = "") -> Reading:
        return Reading(tier, Context(asked=asked), self, self.tell, self.tally, self if ahead else None)

    def tell(self, verdict: Verdict, retracted_chars: int) -> None:
        self.told.append((verdict.rule, retracted_chars))
