"""What a judge is shown: hostile texts between marks that nobody can know, cut to what a judge is paid to read.

A text cannot end its part, begin another or write a verdict that counts: all three need the mark, which is made of the texts
themselves with a key that nobody has seen, after they were written. Whatever is asked about the same texts has the same mark,
so that a provider finds them in its prompt cache. The layout is as light as that allows: comparing each of six right answers
with each of six wrong ones, a model of half a billion parameters had 32 of 36 in order with it, as without any marks, and 25
with heavier brackets.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.criteria.types import Part

MAX_PARTS = 32
"""Of a run with more tool results the last ones are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """`text` is what stands before the judge, `left_out` how many characters of the run do not."""

    text: str
    left_out: int


Mark = Callable[[Sequence[Part]], str]
"""Returns the mark between which some texts are shown."""


def secret_marks() -> Mark:
    """Return what makes marks of 32 bits by a key of its own: a text has one guess, and does not learn whether it was right."""
    key = secrets.token_bytes(32)

    def mark(parts: Sequence[Part]) -> str:
        digest = hashlib.blake2b(digest_size=4, key=key)
        for part in parts:
            digest.update(f"{len(part.text)}:{part.text}".encode(errors="surrogatepass"))
        return digest.hexdigest()

    return mark


def material(parts: Sequence[Part], *, mark: str, max_chars: int) -> Material:
    """Lay out `parts` between `mark`s. Of those that are too long together the longest lose their middle."""
    kept = [*parts[:1], *parts[1:][-(MAX_PARTS - 1) :]]
    longest = _longest([len(part.text) for part in kept], max_chars)
    shown = [_cut(part.text, longest, mark) for part in kept]
    text = "\n".join(f"{part.label} [{mark}]\n{text}\n[/{mark}]" for part, text in zip(kept, shown, strict=True))
    dropped = sum(len(part.text) for part in parts) - sum(min(len(part.text), longest) for part in kept)
    return Material(text=text, left_out=dropped)


def noted(reason: str, left_out: int) -> str:
    """Return a reason that says so where a judge has not seen all."""
    return f"{reason} [judged without {left_out} characters]" if left_out else reason


def _longest(sizes: Sequence[int], room: int) -> int:
    """Return the length to which parts have to be cut, so that they have room together and short ones stay whole."""
    if sum(sizes) <= room:
        return max(sizes, default=0)
    left = room
    for place, size in enumerate(ordered := sorted(sizes)):
        share = left // (len(ordered) - place)
        if size > share:
            return share
        left -= size
    return ordered[-1]


def _cut(text: str, longest: int, mark: str) -> str:
    """Return the beginning and the end of a text that is too long; its beginning has two thirds."""
    if len(text) <= longest:
        return text
    tail = longest // 3
    head = longest - tail
    return f"{text[:head]}\n[{mark}: {len(text) - longest} characters left out]\n{text[len(text) - tail :]}"
