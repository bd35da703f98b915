"""What it costs the agent that sentences are judged: beside the output screen, per token, without what a check itself asks."""

import asyncio
import re
from collections.abc import Sequence

from benchmarks.micro.screening import PROMPT, SCREEN_US, a_run
from benchmarks.micro.timing import Loop, Operation
from services.guardrails.screen.output import OutputScreen, RunScreen
from services.guardrails.semantic.encoded import EncodedCheck
from services.guardrails.semantic.phrases import PhrasesCheck
from services.guardrails.semantic.tier import Mode, SemanticTier, TimedCheck
from services.guardrails.semantic.types import SemanticCheck
from services.llm.channel import Channel

_TEXT = (
    "A queue decouples the two sides, so a slow consumer no longer holds up whoever produces the work. Most people start with"
    " the simplest version that works, and add the rest when they need it. Measure before you optimise, and write down what you"
    " have found."
)
_TOKENS = [*re.findall(r" ?\w+|[.,]", _TEXT), " "]
_READ_TOKENS = 16
"""A provider's chunk has about so many tokens on a busy replica; then the loop is free for the checks."""

_PHRASES = PhrasesCheck({"phrases": ["Project Nightjar", "the merger with Acme", "heron"]})


def operations() -> Sequence[Operation]:
    return (
        _judged("a sentence's way through the semantic tier, per token, held until judged", Mode.SYNC),
        _judged("the same, shown ahead", Mode.ASYNC),
        _judged("the same, with three phrases to look for", Mode.ASYNC, _PHRASES),
        _judged("the same, with instructions to look for in other spellings", Mode.ASYNC, EncodedCheck({})),
    )


class _Outlet:
    """Implements `Outlet` and `Ahead` for text that goes nowhere."""

    def show(self, text: str) -> None: ...

    def keep(self, text: str) -> None: ...

    def cut(self, chars: int) -> None: ...

    def ahead(self, delta: str) -> None: ...

    def judged(self, chars: int) -> None: ...

    def retract(self, rule: str) -> None: ...


def _judged(name: str, mode: Mode, *checks: SemanticCheck) -> Operation:
    tier = SemanticTier([TimedCheck(check=check, deadline_s=9.0) for check in checks], mode)
    run, outlet = a_run(), _Outlet()
    prompts = {"system": PROMPT}
    off = OutputScreen().open(run, prompts, lambda _: None, outlet)
    on = OutputScreen(semantic=lambda: tier).open(run, prompts, lambda _: None, outlet)
    return Operation(
        name=name, measured=_loop(on, outlet), baseline=_loop(off, outlet), times=1_000, limit_us=SCREEN_US
    )


def _loop(screen: RunScreen, outlet: _Outlet) -> Loop:
    async def say(times: int) -> None:
        channel, count = Channel(screen, outlet, trusted=True, answer=True), len(_TOKENS)
        for number in range(times):
            channel.feed(_TOKENS[number % count])
            if number % _READ_TOKENS == 0:
                await asyncio.sleep(0)
        channel.finish()
        await channel.settle()
        channel.close()

    return say
