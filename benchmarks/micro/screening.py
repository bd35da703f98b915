"""What the output screen costs: for ordinary text, for text full of numbers and code, and for text that is made to be slow."""

import re
from collections.abc import Sequence
from uuid import UUID

from benchmarks.micro.timing import Operation
from services.guardrails.screen.output import OutputScreen
from services.types import Message, Run, RunStatus

SCREEN_US = 200.0
"""What a token may cost at most."""

PROMPT = (
    "You are a careful assistant. Use a tool whenever it can give a more reliable answer than your memory: arithmetic, the"
    " current time, and questions about the documents. Base your answer on what the tools return, and say so when they do not."
)
_PROSE = (
    "A queue decouples the two sides so that a slow consumer no longer holds up whoever produces the work Most people start"
    " with the simplest version that works and add the rest when they need it"
)
_DENSE = (
    "As of |2024-|01-05 |12:30 |there are |1,234,567 |rows; |see `f(x)[0]` |(v1.2.3), |https://|example.com/|a?b=1 |and |"
    "![logo](/a.png) |or # |3 4 5 |6.|\n\n"
)
_SLOW = ("4-", "4 ")
"""Every other character may begin a card number, and a date of so many parts has no end."""


def operations() -> Sequence[Operation]:
    prose = re.findall(r"\S+", _PROSE)
    return (
        _screened("output screen, per token of prose", [f" {word}" for word in prose]),
        _screened("output screen, per token of numbers, code and addresses", re.findall(r"[^|]+", _DENSE)),
        _screened("output screen, per token of text that is made to be slow", _SLOW),
    )


def _screened(name: str, tokens: Sequence[str]) -> Operation:
    screen = OutputScreen().open(a_run(), {"system": PROMPT}, lambda _: None)

    async def screened(times: int) -> None:
        stream, count = screen.stream(), len(tokens)
        for number in range(times):
            stream.feed(tokens[number % count])

    async def unscreened(times: int) -> None:
        count = len(tokens)
        for number in range(times):
            len(tokens[number % count])

    return Operation(name=name, measured=screened, baseline=unscreened, times=1_000, limit_us=SCREEN_US)


def a_run() -> Run:
    """A run of nobody's."""
    nobody = UUID(int=0)
    return Run(
        id=nobody,
        thread_id=nobody,
        tenant_id="",
        user_id="",
        graph="react",
        status=RunStatus.RUNNING,
        messages=(Message(role="user", content="hello"),),
    )
