"""A text as a reader would see it, so that a rule needs to know a phrase in one spelling only."""

import re
import unicodedata

from services.guardrails.lookalikes import LATIN, LOOKALIKES, STROKES

_WORD = re.compile(r"\w+")
_ASCII_LETTER = re.compile(r"[a-z]")
_STOPS = re.compile(r"[.!?;:]++(\s|$)?|[。！？؟।…]+|\n[ \t\r]{0,8}\n")
_STOP = "\0"
"""Stands for the end of a sentence until everything else that is no word is gone."""
_NOT_WORD = re.compile(r"[^\w\0\u0900-\u0dff\u0e00-\u0eff]+")
"""Vowel signs of Indic scripts are part of their words, which `\\w` does not know."""
_MARKS = re.compile(r"[\u0300-\u036f\u064b-\u0652]+")


_FORMAT = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) == "Cf")
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
_SELECTORS = "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000))))
_INVISIBLE = frozenset(_FORMAT + _FILLERS + _SELECTORS)
"""Format characters (Cf), and what else takes no room: fillers, variation selectors, tags."""

_UNSEEN = dict.fromkeys(map(ord, _INVISIBLE))

# Which characters a text has is soon told. To translate it costs ten times as much.
_SHAPES = frozenset(map(chr, LATIN))
_FOREIGN = frozenset(map(chr, LOOKALIKES))
_STROKES = frozenset(map(chr, STROKES))


def fold(text: str) -> str:
    """Return `text` in lower case, compatibility forms and look-alikes folded, without invisible characters."""
    if text.isascii():
        return text.lower()
    if not _INVISIBLE.isdisjoint(set(text)):
        text = text.translate(_UNSEEN)
    text = unicodedata.normalize("NFKC", text)
    if not _SHAPES.isdisjoint(set(text)):
        text = text.translate(LATIN)
    # In lower case there may be something to compose, or a format character that had none.
    text = unicodedata.normalize("NFKC", text.lower())
    return _latin(text) if not _FOREIGN.isdisjoint(set(text)) else text


def normalise(text: str) -> str:
    """Return the normal form: the text folded, with single spaces."""
    return spaced_once(fold(text))


def spaced_once(folded: str) -> str:
    return " ".join(folded.split())


def plain(text: str) -> str:
    """Return the plain form of a text, see `words`."""
    return words(fold(text))


def words(folded: str) -> str:
    """Return the words of a folded text, one space between them, and a full stop of its own where a sentence ends.

    Accents and every other punctuation are gone, and dots within words too: `ignore, all.previous "rules"! now` is
    `ignore all previous rules . now`.
    """
    text = _STOPS.sub(_stopped, folded).replace("'", "").replace("’", "").replace("_", " ")
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text)))
        if not _STROKES.isdisjoint(set(text)):
            text = text.translate(STROKES)
    return spaced_once(_NOT_WORD.sub(" ", text).replace(_STOP, " . "))


def _stopped(match: re.Match[str]) -> str:
    """A run of stops ends a sentence if white space follows; else it is within a word."""
    return " " if match[0][0] in ".!?;:" and match[1] is None else f" {_STOP} "


def _latin(text: str) -> str:
    """Spell the words that mix Latin letters with look-alikes of other alphabets in Latin ones (Unicode TS 39, 5.1).

    A word wholly of look-alikes may be a word of its own language. It is spelt in Latin where another one is mixed.
    """
    whole: list[tuple[int, int]] = []
    pieces: list[str] = []
    end, mixed = 0, False
    for match in _WORD.finditer(text):
        word = match[0]
        if word.isascii() or _FOREIGN.isdisjoint(word):
            continue
        spelt = word.translate(LOOKALIKES)
        if _ASCII_LETTER.search(word):
            pieces += (text[end : match.start()], spelt)
            end, mixed = match.end(), True
        elif spelt.isascii():
            whole.append(match.span())
    if not mixed:
        return text
    pieces.append(text[end:])
    latin = "".join(pieces)
    pieces, end = [], 0
    for start, stop in whole:  # a letter is spelt by one letter, so that places are the same
        pieces += (latin[end:start], latin[start:stop].translate(LOOKALIKES))
        end = stop
    return "".join((*pieces, latin[end:]))
