"""What a semantic check is: a question about the meaning of one sentence that a model has written."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.guard import Verdict
from services.guardrails.semantic.hidden import Hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What stands around a piece: the end of the text `before` it, and of what the user `asked`; both are cut. `hidden` is what
    the run may not give away, None where the policy keeps nothing.
    """

    before: str = ""
    asked: str = ""
    hidden: Hidden | None = None


class SemanticCheck(Protocol):
    """One question. Anything that it raises, and no word within its deadline, counts as no verdict: the answer ends.

    What is flagged passes; what is to be redacted or blocked ends the answer, for a sentence has no notice that could stand
    for it. Many pieces are judged at once. What takes longer than a millisecond of the processor belongs into a thread.
    """

    @property
    def name(self) -> str: ...

    async def judge(self, piece: str, context: Context) -> Verdict: ...


Ask = Callable[[str, str], Awaitable[str]]
"""Asks a model: given an instruction and the material, its words. Raises a MainstayError when it cannot."""

CheckFactory = Callable[[Mapping[str, Any], Ask], SemanticCheck]
"""Makes a check from its knobs, which `user_config` may change, and from the judge's model. Raises ConfigurationError."""
