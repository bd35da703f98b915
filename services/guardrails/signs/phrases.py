"""How a table's line becomes a bounded pattern over the plain form of a text.

A template is made of words, `(a|b)` choices, `{group}` for one of a group's words, and ` ~3 ` for at most three words between.
A group's entry may be several words, and may end in `*`: any ending. A pattern is tried only where one of its first words is,
and only in a text that has a word of each group it needs. A text is asked for the signs that begin with its words, and not each
sign for the text: so what a sign costs is next to nothing in nearly every text.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from services.guardrails.normalise import plain
from services.guardrails.signs.words import STEM_CHARS, Keys, Words

Choice = tuple[str, ...]
Groups = Mapping[str, Choice]
"""Words by the group's name."""

_GAP = r"(?: [^ .]{{1,24}}+){{0,{most}}}? "
_TOKEN = re.compile(r"\{(\w+)\}| ~(\d{1,2}) ")
_FIRST = re.compile(r"\{(?P<group>\w+)\}|\((?P<choice>[^()]+)\)|(?P<word>\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One line of a table. Of the signs of one `kind` a text's points count once: a phrase may be one in several languages.

    Marks are sought in the normal form with its punctuation, phrases in the plain form.
    """

    name: str
    kind: str
    points: int
    patterns: tuple[re.Pattern[str], ...]
    found: Callable[[Words, str], bool]
    """Whether a text bears it, given as its words and in its normal form."""
    begins: Keys | None = None
    """The words that it begins with; None where it may begin anywhere."""


class SignIndex:
    """Signs by the words that they begin with."""

    def __init__(self, signs: Sequence[Sign]) -> None:
        self._signs = tuple(signs)
        self._anywhere = frozenset(number for number, sign in enumerate(signs) if sign.begins is None)
        self._whole: defaultdict[str, set[int]] = defaultdict(set)
        self._stems: defaultdict[str, set[int]] = defaultdict(set)
        for number, sign in enumerate(signs):
            if sign.begins is not None:
                for kept, keys in ((self._whole, sign.begins.whole), (self._stems, sign.begins.stems)):
                    for key in keys:
                        kept[key].add(number)

    def begun(self, words: Words) -> list[Sign]:
        """Return the signs that may begin somewhere in a text, in their order."""
        found = self._anywhere.union(
            *(self._whole[word] for word in self._whole.keys() & words.whole),
            *(self._stems[stem] for stem in self._stems.keys() & words.stems),
        )
        return [self._signs[number] for number in sorted(found)]


def phrase(name: str, points: int, templates: Sequence[str], groups: Groups, *, kind: str | None = None) -> Sign:
    """Return the sign of a phrase in any of its templates."""
    ways = tuple((*_needs(template, groups), _compiled(template, groups)) for template in templates)
    begins = Keys.any_of(first for first, _, _ in ways)

    def found(words: Words, _: str) -> bool:
        text = words.text
        return any(
            all(map(words.has, needed)) and any(pattern.match(text, place) for place in words.places(first))
            for first, needed, pattern in ways
        )

    patterns = tuple(pattern for _, _, pattern in ways)
    return Sign(name=name, kind=kind or name, points=points, patterns=patterns, found=found, begins=begins)


def strings(name: str, points: int, orders: Sequence[Sequence[Choice]], *, kind: str) -> Sign:
    """Return the sign of strings that follow one another in any of some orders, with a few characters between.

    For languages that put no space between words, or whose words grow at both ends.
    """
    ways = [tuple(map(_strings, order)) for order in orders]
    patterns = tuple(
        re.compile(r"[^.]{0,14}?".join(f"(?:{'|'.join(map(re.escape, choice))})" for choice in way)) for way in ways
    )

    def found(words: Words, _: str) -> bool:
        text = words.text
        if words.ascii or not all(any(string in text for string in choice) for choice in ways[0]):
            return False
        return any(pattern.search(text) for pattern in patterns)

    return Sign(name=name, kind=kind, points=points, patterns=patterns, found=found)


def mark(name: str, points: int, source: str, cues: Sequence[str]) -> Sign:
    """Return the sign of a pattern over the normal form, which is tried on a text that holds one of the cues."""
    pattern, needed = re.compile(source), tuple(cues)

    def found(_: Words, normal: str) -> bool:
        return any(cue in normal for cue in needed) and pattern.search(normal) is not None

    return Sign(name=name, kind=name, points=points, patterns=(pattern,), found=found)


def _compiled(template: str, groups: Groups) -> re.Pattern[str]:
    def spelt(match: re.Match[str]) -> str:
        group, most = match.groups()
        return _GAP.format(most=most) if group is None else f"(?:{'|'.join(map(_spelt, groups[group]))})"

    return re.compile(_TOKEN.sub(spelt, template.replace("(", "(?:").replace(".", r"\.")) + r"(?!\w)")


def _spelt(entry: str) -> str:
    parts = [re.escape(plain(part)).replace(r"\ ", " ") for part in entry.split("*")]
    return r"\w{0,12}+ ".join(parts).removesuffix(" ")


def _needs(template: str, groups: Groups) -> tuple[Keys, tuple[Keys, ...]]:
    """Return the words that a template may begin with, and those of the groups that must follow."""
    first = _FIRST.match(template)
    if first is None:
        raise ValueError(f"The template {template!r} begins with neither a group, a choice nor a word.")
    begins = groups[first["group"]] if first["group"] else tuple((first["choice"] or first["word"]).split("|"))
    return _keys(begins), tuple(_keys(groups[name]) for name in re.findall(r"\{(\w+)\}(?!\?)", template[first.end() :]))


@cache
def _keys(choice: Choice) -> Keys:
    entries = [(plain(entry.split("*")[0]).split(" ")[0], "*" in entry.split(" ")[0]) for entry in choice]
    return Keys(
        frozenset(word for word, open_ended in entries if not open_ended),
        frozenset(word[:STEM_CHARS] for word, open_ended in entries if open_ended),
    )


@cache
def _strings(choice: Choice) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(plain, choice)))
