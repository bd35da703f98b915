"""Texts that speak to their judge: that ask for a grade, forge a verdict, or pretend that the record ends.

Whoever writes what is judged may try to be judged well. A score whose material bears such a sign is marked, since no reading
of a judge's reply can tell whether the judge was talked into it. A tripwire: words and shapes, no meaning;
docs/evaluation.md has what it finds and how often it is wrong.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.guardrails.normalise import fold, spaced_once
from services.guardrails.views import views
from services.samples import Sample

NEAR_CHARS = 90
"""How far the words of one request may be apart."""

MAX_CHARS = 32_768
"""Of one text: half of it from its beginning, half from its end."""

MAX_HITS = 500

Shape = tuple[str, re.Pattern[str]]

_SHAPES: tuple[Shape, ...] = (
    (
        "a verdict",
        re.compile(
            r"[\"'<](?:score|grade|rating|verdict|value)[\"'>]\s?:?\s?[\"']?(?:10|[0-9]\b|yes|no|true)"
            r"|(?:^|\n|verdict:? )(?:score|grade|rating|verdict|final score|final verdict)\s?[:=]\s?[\[\"']{0,2}\d"
            r"|\b(?:score|grade|rating|verdict)(?: is)? ?:? ?\[\[\d"
        ),
    ),
    (
        "an end of the record",
        re.compile(
            r"<<<|>>>|<\|(?:im_start|im_end|system|user|assistant|eot_id|end)[^>]{0,20}\|?>|\[/?inst\]"
            r"|</?(?:answer|system|evidence|record)>|\bend of (?:the )?(?:answer|evidence|record)"
            r"|(?:^|\n)\s?(?:#{1,4} ?)?(?:system|assistant|instruction|response)\s?:"
        ),
    ),
    (
        "an order to a judge",
        re.compile(
            r"\b(?:say|reply|answer|respond|begin your reply)(?: only)?(?: with)?(?: the (?:word|number))? (?:yes|no|10)\b"
        ),
    ),
)
"""Sought in the folded form with its lines."""


class Screening:
    """Says what in a run's texts speaks to a judge. Its time is linear in the texts, and bounded for each."""

    def __init__(self) -> None:
        self._groups = _groups()

    def __call__(self, sample: Sample) -> tuple[str, ...]:
        """Return what was found, each once, as `answer: asks for a grade`."""
        texts = [("answer", sample.answer), ("question", sample.question)]
        texts += [("tool result", result) for result in sample.tool_results]
        return tuple(dict.fromkeys(f"{where}: {sign}" for where, text in texts for sign in self.signs(text)))

    def signs(self, text: str) -> tuple[str, ...]:
        """Return what a text bears, as it stands or under an encoding."""
        if len(text) > MAX_CHARS:
            text = f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"
        return tuple(dict.fromkeys(sign for view in views(text) for sign in self._signs(fold(view.text))))

    def _signs(self, folded: str) -> Iterator[str]:
        yield from (name for name, pattern in _SHAPES if pattern.search(folded))
        text = spaced_once(folded)
        places = {name: _places(pattern, text) for name, pattern in self._groups.items()}
        grade, top, judge, order = (places[name] for name in ("grade", "top", "judge", "order"))
        if any(_near(place, top) and (_near(place, order) or _near(place, judge)) for place in grade):
            yield "asks for a grade"
        if any(_near(place, order) or _near(place, top) for place in judge):
            yield "speaks to a judge"


def _places(pattern: re.Pattern[str], text: str) -> Sequence[int]:
    return [match.start() for _, match in zip(range(MAX_HITS), pattern.finditer(text), strict=False)]


def _near(place: int, places: Sequence[int]) -> bool:
    """Whether one of the places, which are in order, is near this one and is not this very word."""
    at = bisect_left(places, place - NEAR_CHARS)
    while at < len(places) and places[at] <= place + NEAR_CHARS:
        if places[at] != place:
            return True
        at += 1
    return False


def _groups() -> Mapping[str, re.Pattern[str]]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: _pattern(words, table["unspaced"][name]) for name, words in table["words"].items()}


def _pattern(words: str, unspaced: str) -> re.Pattern[str]:
    ways = [
        re.escape(entry.removesuffix("*")) + (r"\w{0,12}" if entry.endswith("*") else "")
        for entry in sorted(_entries(words), key=len, reverse=True)
    ]
    anywhere = "|".join(re.escape(entry) for entry in _entries(unspaced))
    return re.compile(rf"(?<![\w.,])(?:{'|'.join(ways)})(?!\w)|{anywhere}")


def _entries(words: str) -> list[str]:
    return [fold(" ".join(entry.split())) for entry in words.split(",")]
