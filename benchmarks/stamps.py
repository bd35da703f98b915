"""Send times carried inside token text, so that lag is measured through any server that passes the text on.

A stamp is a mark and six letters: microseconds of CLOCK_MONOTONIC (the same clock in every process of one machine),
modulo 26**6, which is 308.9 seconds. Only letters, because digits and hexadecimal look like card numbers and keys to a
guardrail. `~` marks the time a token was written; the first token also carries `^`, the time its request had arrived,
so the upstream's own thinking time can be taken out exactly.
"""

import re
import time
from collections.abc import Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TRIPLES = tuple((a + b + c).encode() for a in _LETTERS for b in _LETTERS for c in _LETTERS)
_VALUES = {triple: value for value, triple in enumerate(_TRIPLES)}
_BASE = len(_TRIPLES)
_WRAP_US = _BASE * _BASE

SENT_MARK = b"~"
ARRIVED_MARK = b"^"
UNSENT = (
    SENT_MARK + b"000000"
)  # what a token carries until the moment it is written; same width, so the framing can be computed before
STAMP = re.compile(rb"([~^])([a-z]{6})")
WIDTH = 7


def now_us() -> int:
    """Microseconds of the monotonic clock."""
    return time.monotonic_ns() // 1000


def encode(moment_us: int) -> bytes:
    """Six letters for one moment."""
    high, low = divmod(moment_us % _WRAP_US, _BASE)
    return _TRIPLES[high] + _TRIPLES[low]


def age_us(letters: bytes, moment_us: int) -> int:
    """Microseconds from the stamped moment to `moment_us`; ambiguous beyond 308.9 s."""
    return (moment_us - _VALUES[letters[:3]] * _BASE - _VALUES[letters[3:]]) % _WRAP_US


def find(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every (mark, letters) in the text, in order."""
    for match in STAMP.finditer(text):
        yield match[1], match[2]
