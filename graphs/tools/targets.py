"""Whom a call reaches, and whether the user or the operator has named them.

A target is compared whole: with a host, an address or words that stand in the user's text by themselves, code point by code
point, of which only A to Z may be small or large. So `good.com` does not name `good.com.evil.com`, `evil.com/?x=good.com` or
what only looks like it in other letters. What two readers could read in two ways is no target at all, and nobody can have
named it.
"""

import re
import string
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import accumulate

from graphs.tools.declaration import Sink
from services.security.addresses import host_of

MAX_TARGETS = 64
"""Of one argument. A call with more is one that nobody has named the targets of."""

MAX_TARGET_CHARS = 2_048
MAX_ACCOUNT_CHARS = 64
MIN_ACCOUNT_DIGITS = 6
"""A target with so many digits is an account or a telephone number, which people write with spaces and models without."""

UNKNOWN_HOST = "?"

_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ENCLOSING = ',;<>()[]{}|*"“”„«»`'
_BREAKS = re.compile(rf"[\s{re.escape(_ENCLOSING)}]+")
_EDGES = "'’‘.:!?"
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[0-9A-Za-z.-]+")
_HOST = re.compile(r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+")
_FILES = (".cc", ".md", ".mov", ".pl", ".ps", ".py", ".rs", ".sh", ".so", ".zip")
"""Endings of files that are top-level domains too: whoever speaks of `README.md` does not mean the host."""


def targets_of(value: object, sink: Sink) -> tuple[str, ...] | None:
    """Return the targets in an argument, folded; none where it is left empty; None where they cannot be read for certain."""
    match value:
        case None | "":
            return ()
        case str():
            texts = re.split(r"[,;]", value) if sink == "recipient" else [value]
        case int() if not isinstance(value, bool):
            texts = [str(value)]
        case list() | tuple() if all(type(item) in (str, int) for item in value):
            texts = list(map(str, value))
        case _:
            return None
    found = [_target(text.strip(" "), sink) for text in texts]
    targets = tuple(target for target in found if target)
    return None if len(found) > MAX_TARGETS or None in found else targets


def _target(text: str, sink: Sink) -> str | None:
    if len(text) > MAX_TARGET_CHARS or not text.isprintable():
        return None
    match sink:
        case "url":
            host = host_of(text)
            return None if host == UNKNOWN_HOST else host
        case "recipient":
            is_address = "@" in text.removeprefix("@")
            return None if is_address and not _ADDRESS.fullmatch(text) else folded(text)
        case "path":
            return None if "\\" in text or ".." in text.split("/") else folded(text)


def folded(text: str) -> str:
    """Return the text with A to Z small. No other letter is folded: it could become one that it only looks like."""
    return text.translate(_FOLD)


def allows(patterns: Collection[str], target: str, sink: Sink) -> bool:
    """Whether an operator's list has the target: as it is, or by `*.example.com` for the hosts below one, `*@example.com` for
    its addresses, `reports/*` for what lies in a folder.
    """
    for pattern in map(folded, patterns):
        if pattern == target:
            return True
        match sink:
            case "url" | "recipient":
                sign = "." if sink == "url" else "@"
                if pattern.startswith(f"*{sign}") and target.endswith(pattern[1:]) and target != pattern[1:]:
                    return True
            case "path":
                if pattern.endswith("/*") and target.startswith(pattern[:-1]):
                    return True
    return False


class UsersWords:
    """What the user has written, to look targets up in."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def name(self, target: str, sink: Sink) -> bool:
        """Whether the user has named a target, as `targets_of` returns it."""
        if sink == "url":
            return target in self._hosts
        wanted = [word.removeprefix("#").removeprefix("@") for word in target.split()]
        is_account = len(target) <= MAX_ACCOUNT_CHARS and sum(map(str.isdigit, target)) >= MIN_ACCOUNT_DIGITS
        return any(
            _in_a_row(words, wanted) or (is_account and _spelled_out(words, "".join(wanted))) for words in self._words
        )

    @cached_property
    def _words(self) -> list[list[str]]:
        return [[word for word in map(_bare, _BREAKS.split(folded(text))) if word] for text in self._texts]

    @cached_property
    def _hosts(self) -> frozenset[str]:
        # Broken at spaces only, for what stands behind a comma or a bracket may be the end of somebody else's address.
        tokens = [token.strip(_ENCLOSING + _EDGES) for text in self._texts for token in text.split()]
        return frozenset(filter(None, map(_host_in, tokens)))


def _host_in(token: str) -> str | None:
    """The host of a URL, or of what could be one without its scheme."""
    url = token
    if "://" not in token:
        name = re.split(r"[/?]", token, maxsplit=1)[0]
        if not _HOST.fullmatch(name) or name.lower().endswith(_FILES):
            return None
        url = f"https://{token}"
    host = host_of(url)
    return None if host == UNKNOWN_HOST else host


def _bare(word: str) -> str:
    return word.strip(_EDGES).removeprefix("mailto:").removeprefix("#").removeprefix("@")


def _in_a_row(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words)} "


def _spelled_out(words: Sequence[str], wanted: str) -> bool:
    """Whether whole words in a row make up what is wanted, without the spaces."""
    joined, edges = "".join(words), {0, *accumulate(map(len, words))}
    at = joined.find(wanted)
    while at >= 0:
        if at in edges and at + len(wanted) in edges:
            return True
        at = joined.find(wanted, at + 1)
    return False
