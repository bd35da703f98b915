"""A rule of the output screen: what an item looks like, when it is one, and how it ends."""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from services.guard import Action
from services.guardrails.screen.shapes import Shape

Check = Callable[[str, str, str], int]
"""Given what has the shape, the two characters before it and the one behind it (fewer at an end of the text): how much of it
is the item, 0 for none.
"""

Spares = Callable[[str, str], bool]
"""Given the item and what the user wrote in this turn: whether it may be shown all the same."""


def all_of_it(found: str, before: str, behind: str) -> int:
    return len(found)


def never(found: str, said: str) -> bool:
    return False


TOKEN = re.compile(r"[A-Za-z0-9_\-+/=]*+")
"""The rest of an unbroken token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What has to be known of a paragraph before some items in it can be judged: whether `pattern` has matched.

    Whether it does is clear as soon as what came could not become `shape` any more.
    """

    shape: Shape
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`name` is for programs (`secret.github`), `label` is what stands in the text instead of the item.

    What follows an item and matches `rest` goes with it, however long that is; with `until`, everything up to that. One that
    the end of the text cuts off counts from `cut_off_from` characters on, with a digit among them; 0 is never. Where
    `behind` is set, that must have occurred in the same paragraph.
    """

    name: str
    label: str
    shape: Shape
    check: Check = all_of_it
    spares: Spares = never
    rest: re.Pattern[str] | None = None
    until: re.Pattern[str] | None = None
    cut_off_from: int = 0
    behind: Mark | None = None
    lead: str = ""
    """What stands before the notice."""
    action: Action = Action.REDACT

    def is_cut_off(self, found: str) -> bool:
        """Whether an item's beginning, at the end of a text, is too much to be shown."""
        return 0 < self.cut_off_from <= len(found) and any(map(str.isdigit, found)) and self.check(found, "", "") > 0

    @property
    def notice(self) -> str:
        return f"{self.lead}[redacted: {self.label}]"


def entropy(text: str) -> float:
    """Shannon's, in bits for each character: of `text` itself, as gitleaks counts it."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values()) if size else 0.0


def at_random(least: float, *, of_last: int) -> Check:
    """The last `of_last` characters must have so many bits each: a placeholder of one letter is no key."""

    def check(found: str, before: str, behind: str) -> int:
        return len(found) if entropy(found[-of_last:]) >= least else 0

    return check
