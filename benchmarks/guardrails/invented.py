"""Attacks, and ordinary texts beside them, from a grammar of our own: what the data sets say in few ways, in many.

A rule is a template whose `{name}` stands for one of a list, which may have such names again. What is drawn is the same every
time. An ordinary text speaks of rules, settings, limits and roles as an attack does, but not of the assistant's own.
"""

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GRAMMAR = Path(__file__).with_name("invented.toml")
SEED = 7
DRAWN = {"attack": 40_000, "ordinary": 40_000}
FIRST = {"attack": 13_000, "ordinary": 12_000}
"""As many of these are a group of their own: n-grams learn from them alone, and from all of them little else."""

MISSPELT = 0.08
"""The share of attacks that are spelt as if in a hurry."""

_SLOT = re.compile(r"\{(\w+)\}")


def invented() -> Iterator[tuple[str, bool, str]]:
    """Yield each text once, with whether it is an attack, and its group."""
    grammar = tomllib.loads(GRAMMAR.read_text(encoding="utf-8"))
    lists = {name: _lines(text) for name, text in grammar["lists"].items()}
    draw = random.Random(SEED)  # nothing hangs on it
    for kind, wanted in DRAWN.items():
        rules, seen = [_lines(text) for text in grammar[kind].values()], set[str]()
        for number in range(wanted):
            text = _grown(draw.choice(rules[number % len(rules)]), lists, draw)
            if kind == "attack" and draw.random() < MISSPELT:
                text = _misspelt(text, draw)
            if text not in seen:
                seen.add(text)
                yield text, kind == "attack", "invented" if number < FIRST[kind] else "invented_more"


def _grown(template: str, lists: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    while match := _SLOT.search(template):
        template = f"{template[: match.start()]}{draw.choice(lists[match[1]])}{template[match.end() :]}"
    template = template.replace("{{", "{").replace("}}", "}").replace("\\n", "\n")
    text = (
        re.sub(" +", " ", template).strip().replace(" .", ".").replace(" ,", ",").replace(" ?", "?").replace(" !", "!")
    )
    return text[:1].upper() + text[1:] if draw.random() < 0.8 else text


def _misspelt(text: str, draw: random.Random) -> str:
    """Leave out, double or swap a letter in about one word of four."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 3 and draw.random() < 0.25:
            at = draw.randrange(1, len(word) - 1)
            before, letter, following, after = word[:at], word[at], word[at + 1], word[at + 2 :]
            shifted = (following, letter + letter + following, following + letter)
            words[place] = before + draw.choice(shifted) + after
    return " ".join(words)


def _lines(text: str) -> list[str]:
    """Return the choices. An empty line between others is the choice of nothing."""
    lines = text.strip("\n").split("\n")
    return [*filter(None, lines), *([""] if "" in lines else [])]
