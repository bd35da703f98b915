"""Texts that a reader sees through and a rule does not: spaced, dotted, in digits, backwards, or out of sight in a page.

As the decoders, each disguise takes a text and yields what is under it, and is linear in the text.
"""

import re
from collections.abc import Iterator

from services.guardrails.encodings import changed_lines, rot13

_FLIPPED = str.maketrans("ɐqɔpǝɟƃɓɥᴉıɾʞןɯuodbɹsʇnʌʍxʎz", "abcdefgghiijklmnopqrstuvwxyz")
_TAGS = re.compile(r"[\U000e0020-\U000e007e]+")
_RIGHT_TO_LEFT = re.compile(r"[\u202e\u2067]([^\u202c\u2069\u202e\u2067]{4,2048})")

_SPACED = re.compile(
    r"(?<!\w)\w(?P<by>[ .*_~|/-]|[ ][.*_~|/-][ ])(?:(?:\w(?P=by)){2,400}+(?:\w(?!\w))?|\w(?P=by)\w(?!\w))"
)
_SEPARATORS = re.compile(r"[\W_]{1,3}")
_JOINED = re.compile(
    r"(ignore|disregard|forget|override|reveal|show|print|repeat|tell|follow|all|any|the|my|me|your|you|are|and|now|no|of|"
    r"previous|prior|above|earlier|system|hidden|initial|secret|new|instructions?|prompts?|rules?|guidelines|restrictions)"
)
_SPLIT = re.compile(r"(?<!\w)\w{1,12}(?:[.*~|-]\w{1,12}){3,200}+(?!\w)")

_DIGITS = str.maketrans("013456789@$!|+€¡(", "oieasgtbgasiiteic")
_DISGUISED = re.compile(r"(?<!\S)(?=\S{0,24}[a-zA-Z])(?=\S{0,24}[013456789@$!|+€¡(][a-zA-Z0-9@$!|+€¡(])\S{3,24}+(?!\S)")

_WORDS = re.compile(r"[a-z]{2,14}")
_COMMON = frozenset(
    [
        "the",
        "and",
        "you",
        "your",
        "all",
        "are",
        "this",
        "that",
        "with",
        "not",
        "from",
        "ignore",
        "disregard",
        "forget",
        "previous",
        "prior",
        "above",
        "instruction",
        "instructions",
        "rules",
        "system",
        "prompt",
        "reveal",
        "print",
        "show",
        "tell",
        "now",
        "say",
        "output",
        "password",
        "secret",
        "override",
        "bypass",
    ]
)
_COMMON_BACKWARDS = frozenset(word[::-1] for word in _COMMON - {"are", "not", "now"})  # era, ton, won
_COMMON_ROTATED = frozenset(map(rot13, _COMMON))

_COMMENTS = (("<!--", "-->"), ("/*", "*/"))
_UNSEEN = re.compile(
    r"<\w{1,12}\b[^<>]{0,200}(?:display\s?:\s?none|visibility\s?:\s?hidden|font-size\s?:\s?0|opacity\s?:\s?0(?![.\d])"
    r"|color\s?:\s?(?:white|transparent|#fff)|hidden\b|left\s?:\s?-\d{3})[^<>]{0,200}>([^<]{4,2000})",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"\b(?:alt|title|aria-label|content|data-[a-z]{1,12})\s?=\s?(?:\"([^\"<>]{8,1000})\"|'([^'<>]{8,1000})')"
)


def in_tags(text: str) -> Iterator[str]:
    """What tag characters spell: they mirror ASCII, and nothing of them is seen."""
    for match in _TAGS.finditer(text):
        yield "".join(chr(ord(tag) - 0xE0000) for tag in match[0])


def right_to_left(text: str) -> Iterator[str]:
    """The text as it is seen where characters turn its direction around."""
    if _RIGHT_TO_LEFT.search(text):
        yield _RIGHT_TO_LEFT.sub(lambda match: match[1][::-1], text)


def spaced(text: str) -> Iterator[str]:
    """Letters apart (`i g n o r e`, `i.g.n.o.r.e`) put together, words in a chain (`ignore-all-rules`) taken apart."""
    original = text
    if text.count("\\") * 4 > len(text):
        text = text.replace("\\", "")
    together = _SPACED.sub(_put_together, text)
    together = _SPLIT.sub(lambda match: _SEPARATORS.sub(" ", match[0]), together)
    if together != original:
        yield changed_lines(original, together)


def _put_together(match: re.Match[str]) -> str:
    """Return the word that was spaced out; if it was a whole sentence, its commonest words are told apart again."""
    word = _SEPARATORS.sub("", match[0])
    return (word if len(word) <= 12 else _JOINED.sub(r" \1 ", word.lower())) + " "


def digits(text: str) -> Iterator[str]:
    """Words with digits and signs in place of letters (`1gn0r3`), read as letters, if there are two of them or more."""
    found = [match.span() for match in _DISGUISED.finditer(text)]
    if len(found) < 2:
        return
    pieces: list[str] = []
    end = 0
    for start, stop in found:
        pieces += (text[end:start], text[start:stop].translate(_DIGITS).replace("aii", "all"))
        end = stop
    yield changed_lines(text, "".join((*pieces, text[end:])))


def backwards(text: str) -> Iterator[str]:
    """The text from its end, and each word from its end, where that reads more like English; upside down as well."""
    if _reads_as(_COMMON_BACKWARDS, text):
        yield text[::-1]
        yield " ".join(word[::-1] for word in text.split())
    if "ǝ" in text or "ɹ" in text:
        yield text.translate(_FLIPPED)[::-1]


def rotated(text: str) -> Iterator[str]:
    """The text in rot13, where that reads more like English."""
    if _reads_as(_COMMON_ROTATED, text):
        yield rot13(text)


def out_of_sight(text: str) -> Iterator[str]:
    """What a page holds and does not show: comments, hidden elements, and texts of attributes."""
    if "<" not in text and "/*" not in text:
        return
    hidden = [comment for marks in _COMMENTS for comment in _between(text, *marks)]
    hidden += [match[match.lastindex or 0] for pattern in (_UNSEEN, _ATTRIBUTE) for match in pattern.finditer(text)]
    if hidden:
        yield "\n".join(hidden)


def _between(text: str, opening: str, closing: str) -> Iterator[str]:
    """Yield what stands between such marks; what is never closed goes on to the end."""
    end = 0
    while (start := text.find(opening, end)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            yield text[start + len(opening) :]
            return
        yield text[start + len(opening) : end]


def _reads_as(disguised: frozenset[str], text: str) -> bool:
    """Whether there are disguised forms of common words, at least two and half as many as of the words themselves."""
    words = _WORDS.findall(text.lower())
    found = sum(word in disguised for word in words)
    return found >= 2 and 2 * found >= sum(word in _COMMON for word in words)
