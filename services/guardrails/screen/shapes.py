"""What a sensitive item looks like, as pieces in a row: from them follow how to find one, and how to see one begin.

A shape is bounded by construction: a piece is one of a few words, or so many characters of a class. What it matches has no
second way to be matched (every piece is possessive), so the time to try one is linear in its length.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One of these texts, exactly."""

    options: tuple[str, ...]

    def __init__(self, *options: str) -> None:
        object.__setattr__(self, "options", tuple(sorted(options, key=len, reverse=True)))

    @property
    def whole(self) -> str:
        return f"(?:{'|'.join(map(re.escape, self.options))})"

    @property
    def begun(self) -> str:
        """What matches any beginning of it, and all of it."""
        beginnings = {option[:end] for option in self.options for end in range(1, len(option) + 1)}
        return f"(?:{'|'.join(map(re.escape, sorted(beginnings, key=len, reverse=True)))})"

    @property
    def heads(self) -> Iterable[str]:
        return self.options


@dataclass(frozen=True, slots=True)
class Some:
    """`least` to `most` characters of a class, which is written as inside the brackets of a regular expression."""

    chars: str
    least: int
    most: int

    @property
    def whole(self) -> str:
        return f"[{self.chars}]{{{self.least},{self.most}}}+"

    @property
    def begun(self) -> str:
        return f"[{self.chars}]{{{min(self.least, 1)},{self.most}}}+"

    @property
    def heads(self) -> Iterable[str]:
        one = re.compile(f"[{self.chars}]")
        return [char for char in map(chr, range(128)) if one.match(char)]


Shape = tuple[Word | Some, ...]


def whole(shape: Shape) -> str:
    """Return the expression that matches an item of this shape."""
    return "".join(piece.whole for piece in shape)


def begun(shape: Shape) -> str:
    """Return the expression that matches what reaches to the end of the text and may still become such an item, or grow.

    A whole one at the end of the text is among that: whether it ends there, only what follows can say.
    """
    head, *rest = shape
    here = rf"{head.begun}\Z"
    return f"(?:{head.whole}{begun(tuple(rest))}|{here})" if rest else here


def first_characters(shape: Shape) -> frozenset[str]:
    return frozenset(head[0] for head in shape[0].heads)


_APART = r"(?:(?<![A-Za-z0-9].)|(?<=\\[nrt].))"
"""After a first letter or digit: the item does not begin inside a word, or begins behind an escaped line end."""


def suspicion(shapes: Sequence[Shape]) -> re.Pattern[str]:
    """Return what finds every place where an item of one of these shapes may begin, in text that may go on.

    Ordinary text has few such places: this is what the ordinary case costs.
    """
    by_first: dict[str, set[str]] = {}
    for head in {head for shape in shapes for head in shape[0].heads}:
        by_first.setdefault(head[0], set()).add(head[1:])
    branches = [
        f"{re.escape(first)}{_APART if first.isalnum() else ''}{_tree(rests)}"
        for first, rests in sorted(by_first.items())
    ]
    return re.compile("|".join(branches) or r"(?!)", re.DOTALL)


def _tree(rests: set[str]) -> str:
    """Return what matches any of the texts, or a beginning of one at the very end."""
    if "" in rests:
        return ""
    by_first: dict[str, set[str]] = {}
    for rest in rests:
        by_first.setdefault(rest[0], set()).add(rest[1:])
    branches = [f"{re.escape(first)}{_tree(below)}" for first, below in sorted(by_first.items())]
    return rf"(?:\Z|{'|'.join(branches)})"
