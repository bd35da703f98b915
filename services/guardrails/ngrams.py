"""A text as hashed n-grams, window by window: what the classifier counts.

The hash is arithmetic on code points and CRC-32 of words, so that it is the same in every process and on every machine.
"""

import re
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

WINDOW_CHARS = 480
STRIDE_CHARS = WINDOW_CHARS // 2
CHAR_ORDERS = (2, 3, 4, 5)
WORD_ORDERS = (1, 2, 3)
BUCKETS = 2**16
"""Of each order: its n-grams have a table of their own, and 16 bits are what numpy sorts in linear time."""

FEATURES = (len(CHAR_ORDERS) + len(WORD_ORDERS)) * BUCKETS

Integers = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint32]

_TABLES = np.arange(len(CHAR_ORDERS) + len(WORD_ORDERS), dtype=np.int64) * BUCKETS
"""Where the features of each order begin."""
_WORD = re.compile(r"\w+")
_PRIME = np.uint32(16_777_619)  # FNV-1a's
_MIX = np.uint32(2_654_435_761)  # Knuth's multiplicative hash


def terms(text: str) -> tuple[Integers, Integers]:
    """Return two arrays of the same length, a window's number and a feature in it: each feature of a window once.

    Windows are WINDOW_CHARS long and begin every STRIDE_CHARS; a text that fits one has one. An n-gram is of the stride
    in which it begins.
    """
    if window_count(text) == 1:
        features_once = distinct(_features(text))
        return np.zeros(len(features_once), dtype=np.int64), features_once
    strides = -(-len(text) // STRIDE_CHARS)
    windows: list[Integers] = []
    features: list[Integers] = []
    for order, (hashes, positions) in enumerate(_orders(text)):
        buckets = ((hashes * _MIX) >> np.uint32(16)).astype(np.uint16)
        stride = positions // STRIDE_CHARS
        before = _stride_before(buckets, stride)
        feature = buckets.astype(np.int64) + order * BUCKETS
        # A window is a stride and the next. What a stride has first goes into the window that it begins, and into the one
        # that it ends unless that has it already.
        begun = (before < stride) & (stride < strides - 1)
        ended = (before < stride - 1) & (stride > 0)
        windows += (stride[begun], stride[ended] - 1)
        features += (feature[begun], feature[ended])
    return np.concatenate(windows), np.concatenate(features)


def window_count(text: str) -> int:
    """Return how many windows a text has."""
    return max(1, -(-len(text) // STRIDE_CHARS) - 1)


def distinct(values: Integers) -> Integers:
    """Return each value once, in their order. Sorts the array that it is given."""
    values.sort()
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def _features(text: str) -> Integers:
    """Return the features of all n-grams. For most texts that are looked at, which are short, this is what counting costs."""
    by_order = [hashes for hashes, _ in _orders(text)]
    buckets = ((np.concatenate(by_order) * _MIX) >> np.uint32(16)).astype(np.int64)
    return buckets + np.repeat(_TABLES, [len(hashes) for hashes in by_order])


def _stride_before(buckets: npt.NDArray[np.uint16], stride: Integers) -> Integers:
    """Return for each n-gram the stride in which it was last seen, or -2."""
    by_bucket = np.argsort(buckets, kind="stable")
    same = buckets[by_bucket[1:]] == buckets[by_bucket[:-1]]
    before = np.full(len(buckets), -2, dtype=np.int64)
    before[by_bucket[1:][same]] = stride[by_bucket[:-1][same]]
    return before


def _orders(text: str) -> Iterator[tuple[_Hashes, Integers]]:
    """Yield hashes and positions of the n-grams of each order: of characters, then of words."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    yield from _rolled(codes, np.arange(len(codes), dtype=np.int64), range(1, max(CHAR_ORDERS) + 1), CHAR_ORDERS)
    found = [(zlib.crc32(match[0].encode("utf-8", "surrogatepass")), match.start()) for match in _WORD.finditer(text)]
    words = np.array([word for word, _ in found], dtype=np.uint32)
    places = np.array([place for _, place in found], dtype=np.int64)
    yield from _rolled(words, places, range(1, max(WORD_ORDERS) + 1), WORD_ORDERS)


def _rolled(
    units: npt.NDArray[np.uint32], places: Integers, upto: range, wanted: tuple[int, ...]
) -> Iterator[tuple[_Hashes, Integers]]:
    """Yield the n-grams of the wanted orders, each order's made from those of the one before."""
    hashes = np.full(len(units) + 1, 2_166_136_261, dtype=np.uint32)
    for order in upto:
        size = max(0, len(units) - order + 1)
        hashes = (hashes[:size] * _PRIME) ^ units[order - 1 : order - 1 + size]
        if order in wanted:
            yield hashes * _PRIME, places[:size]
