"""The tables of signs as they are kept, in TOML: english.toml, marks.toml and multilingual.toml beside this module."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.guardrails.signs.phrases import Sign, mark, phrase, strings

FOLDER = Path(__file__).parent

ORDERS: Mapping[str, tuple[int, Sequence[str]]] = {
    "override": (
        3,
        ("override earlier orders", "override orders earlier", "earlier orders override", "orders earlier override"),
    ),
    "reveal_hidden": (3, ("reveal hidden", "hidden reveal")),
    "reveal_own": (
        2,
        ("reveal orders origin", "reveal origin orders", "orders origin reveal", "origin orders reveal"),
    ),
}
"""The signs of every language, under the names that they have in English: points, and groups in whichever order it says them.

A language that lacks one of the groups lacks the sign. They weigh more than in English, of which the classifier knows more.
"""


def english() -> Iterator[Sign]:
    """Yield the signs of english.toml."""
    table = _table("english")
    groups = {name: _entries(words) for name, words in table["words"].items()}
    for name, line in table["signs"].items():
        yield phrase(name, line["points"], line["templates"], groups)


def marks() -> Iterator[Sign]:
    """Yield the signs of marks.toml."""
    for name, line in _table("marks").items():
        yield mark(name, line["points"], "|".join(line["patterns"]), line["cues"])


def multilingual() -> Iterator[Sign]:
    """Yield the signs of every language of multilingual.toml."""
    for code, language in _table("multilingual").items():
        groups = {name: _entries(words) for name, words in language.items() if name != "spaced"}
        for kind, (points, orders) in ORDERS.items():
            told = [order.split() for order in orders if groups.keys() >= set(order.split())]
            if not told:
                continue
            name = f"{kind}_{code}"
            if language.get("spaced", True):
                templates = [" ~4 ".join(f"{{{group}}}" for group in order) for order in told]
                yield phrase(name, points, templates, groups, kind=kind)
            else:
                yield strings(name, points, [[groups[group] for group in order] for order in told], kind=kind)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _entries(words: str) -> tuple[str, ...]:
    """Return the entries of a group, which are written with commas between."""
    return tuple(" ".join(entry.split()) for entry in words.split(","))
