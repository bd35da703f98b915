"""A text as classes of meaning, window by window: what it says to an assistant, in whichever words or language.

"Disregard your rules" and "vergiss deine Anweisungen" are the same three classes. So what was learnt of the one is known of the
other, which n-grams of letters cannot do. The classes and their words are in meanings.toml.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from services.guardrails.ngrams import STRIDE_CHARS, Integers, distinct, window_count
from services.guardrails.normalise import plain

CODES = 64
"""Of classes and of what stands between words: more than meanings.toml has."""
COLON, END, GAP, QUOTE, BRACKET = range(59, CODES)
"""A colon, the end of a sentence, several words without a class, a quotation mark, and a bracket, slash or sign of code."""

GAP_WORDS = 4
NEAR_TOKENS = 5
TRIPLES = 2**16
FEATURES = CODES + CODES**2 + TRIPLES + CODES**2
"""Single classes, two and three that follow one another, and two that are near one another in a sentence."""

_MIX = np.uint32(2_654_435_761)  # Knuth's multiplicative hash
_STEM_CHARS = 3
_TOKEN = re.compile(r"(\w+(?:['’]\w+)?|[.!?;\n。！？]+|[\"“”«»`\[\]{}<>#=|\\/:])")  # as they are written
_MARKS = {**dict.fromkeys('"“”«»`', QUOTE), **dict.fromkeys("[]{}<>#=|\\/", BRACKET), ":": COLON}


def _table() -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the classes of whole words and of beginnings; a word is written as in the text, or without accents."""
    whole: dict[str, int] = {}
    beginnings: dict[str, int] = {}
    sections = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    numbers = {name: number for number, name in enumerate(sections["english"], start=1)}
    for section in sections.values():
        for name, words in section.items():
            for entry in words.split(","):
                word = entry.strip().removesuffix("*")
                kept = beginnings if entry.strip().endswith("*") else whole
                for spelt in (word, plain(word)):
                    kept.setdefault(spelt, numbers[name])
    return whole, beginnings


_WHOLE, _BEGINNINGS = _table()
_STEMS = frozenset(word[:_STEM_CHARS] for word in _BEGINNINGS)
_LONGEST = max(map(len, _BEGINNINGS))


def terms(text: str) -> tuple[Integers, Integers]:
    """Return two arrays of the same length, a window's number and a feature in it, as `ngrams.terms` does."""
    codes, places = _read(text)
    if window_count(text) == 1:
        once = distinct(np.concatenate([feature for feature, _ in _features(codes)]))
        return np.zeros(len(once), dtype=np.int64), once
    features: list[Integers] = []
    strides: list[Integers] = []
    for feature, at in _features(codes):
        features.append(feature)
        strides.append(places[at] // STRIDE_CHARS)
    feature, stride = np.concatenate(features), np.concatenate(strides)
    begun, ended = stride < window_count(text), stride > 0
    pairs = distinct(
        np.concatenate((stride[begun] * FEATURES + feature[begun], (stride[ended] - 1) * FEATURES + feature[ended]))
    )
    return pairs // FEATURES, pairs % FEATURES


def meaning(word: str) -> int:
    """Return the class of a word, or 0."""
    found = _WHOLE.get(word, 0)
    if found or word[:_STEM_CHARS] not in _STEMS:
        return found
    sizes = range(min(len(word), _LONGEST), _STEM_CHARS - 1, -1)
    return next((_BEGINNINGS[word[:size]] for size in sizes if word[:size] in _BEGINNINGS), 0)


def _read(text: str) -> tuple[Integers, Integers]:
    """Return the codes of a text and where they stand. What is no word counts once, however often it is repeated."""
    pieces = _TOKEN.split(text)
    tokens = pieces[1::2]
    known = {token: _remembered(token) if len(token) <= _LONGEST else _code(token) for token in set(tokens)}
    starts = np.cumsum([len(piece) for piece in pieces[:-1]], dtype=np.int64)[::2]
    codes = np.array([known[token] for token in tokens], dtype=np.int64)
    (coded,) = codes.nonzero()
    codes, starts = codes[coded], starts[coded]
    new = codes < COLON
    new[1:] |= codes[1:] != codes[:-1]
    new[:1] |= codes[:1] != END
    gaps = codes < COLON
    gaps[1:] &= coded[1:] - coded[:-1] > GAP_WORDS
    gaps[:1] &= coded[:1] >= GAP_WORDS
    codes, starts, (before,) = codes[new], starts[new], gaps[new].nonzero()
    return (
        (np.insert(codes, before, GAP), np.insert(starts, before, starts[before])) if len(before) else (codes, starts)
    )


@lru_cache(maxsize=2**14)
def _remembered(token: str) -> int:
    """The code of a token that is short enough to be kept: most words of a text have been in another."""
    return _code(token)


def _code(token: str) -> int:
    if token[0].isalnum() or token[0] == "_":
        return meaning(token.replace("'", "").replace("’", ""))
    return _MARKS.get(token, END)


def _features(codes: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield features and which code each begins at."""
    numbers = np.arange(len(codes))
    classes = codes < COLON
    yield codes[classes], numbers[classes]
    pairs = codes[:-1] * CODES + codes[1:]
    yield pairs + CODES, numbers[: len(pairs)]
    triples = (pairs[:-1] * CODES + codes[2:]).astype(np.uint32)
    yield ((triples * _MIX) >> np.uint32(16)).astype(np.int64) + (CODES + CODES**2), numbers[: len(triples)]
    sentence = np.cumsum(codes == END)
    for apart in range(1, min(NEAR_TOKENS, len(codes) - 1) + 1):
        first, second = codes[:-apart], codes[apart:]
        near = (first < COLON) & (second != GAP) & (sentence[:-apart] == sentence[apart:])
        yield (first * CODES + second + (CODES + CODES**2 + TRIPLES))[near], numbers[:-apart][near]
