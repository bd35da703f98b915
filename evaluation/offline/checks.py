"""What code can see in an answer: the expectations of a case. No judge is asked, and the same answer is always read alike."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.criteria.types import Reading
from services.samples import Sample

_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:[,\u202f\u00a0 ]\d{3})+|\d+)(?:\.\d+)?(?!\w)")
RELATIVE_ERROR = 1e-6
"""How far a number of the answer may be from the one that is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`accept` raises ValueError for what the data set may not ask for. `missing` says what of it a run lacks, empty where
    nothing is missing.
    """

    accept: Callable[[Any], None]
    missing: Callable[[Any, Sample], str]


def read(expect: Mapping[str, Any], sample: Sample) -> Reading:
    """Return 1 where everything that is expected is there, 0 with what is not, unscored where nothing is expected."""
    if not expect:
        return Reading(value=None, reason="nothing is expected")
    found = [
        f"{name}: {missing}" for name, wanted in expect.items() if (missing := CHECKS[name].missing(wanted, sample))
    ]
    return Reading(value=float(not found), reason="; ".join(found) or f"as expected: {', '.join(expect)}")


def plain(text: str) -> str:
    """Return a text as it is compared: without regard to case, spaces, and typographic quotes and dashes."""
    for typographic, typed in (("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"'), ("–", "-"), ("−", "-")):
        text = text.replace(typographic, typed)
    return " ".join(text.casefold().split())


def holds(text: str, wanted: str) -> bool:
    """Whether a text has another in it, as whole words: 3.50 is not in 13.50, and no is not in know."""
    words = plain(wanted)
    before, after = r"(?<!\w)" if words[0].isalnum() else "", r"(?!\w)" if words[-1].isalnum() else ""
    return re.search(before + re.escape(words) + after, plain(text)) is not None


def numbers(text: str) -> list[float]:
    """Return the numbers of a text, with or without separators of thousands (a comma or a space)."""
    return [float(re.sub(r"[,\u202f\u00a0 ]", "", found).replace("−", "-")) for found in _NUMBER.findall(text)]


def _equals(wanted: str, sample: Sample) -> str:
    return "" if plain(sample.answer).strip(" .!") == plain(wanted).strip(" .!") else f"{wanted!r} is not the answer"


def _contains(wanted: Sequence[str], sample: Sample) -> str:
    return ", ".join(f"{text!r} is not in it" for text in wanted if not holds(sample.answer, text))


def _contains_any(wanted: Sequence[str], sample: Sample) -> str:
    found = any(holds(sample.answer, text) for text in wanted)
    return "" if found else f"none of {', '.join(map(repr, wanted))} is in it"


def _excludes(wanted: Sequence[str], sample: Sample) -> str:
    return ", ".join(f"{text!r} is in it" for text in wanted if holds(sample.answer, text))


def _number(wanted: float, sample: Sample) -> str:
    said = numbers(sample.answer)
    near = any(math.isclose(number, wanted, rel_tol=RELATIVE_ERROR, abs_tol=1e-12) for number in said)
    return "" if near else f"{wanted:g} is not among its numbers"


def _tools(wanted: Sequence[str], sample: Sample) -> str:
    used = {use.name for use in sample.tool_uses if use.succeeded}
    return ", ".join(f"{name} gave no result" for name in wanted if name not in used)


def _a_text(given: Any) -> None:
    if not isinstance(given, str) or not given.strip():
        raise ValueError("expect: equals is a text that is not empty")


def _texts(given: Any) -> None:
    if not isinstance(given, list) or not given or not all(isinstance(text, str) and text.strip() for text in given):
        raise ValueError('expect: a list of texts that are not empty, such as ["30 days"]')


def _a_number(given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError("expect: number is a number")


CHECKS: Mapping[str, Check] = {
    "equals": Check(accept=_a_text, missing=_equals),
    "contains": Check(accept=_texts, missing=_contains),
    "contains_any": Check(accept=_texts, missing=_contains_any),
    "excludes": Check(accept=_texts, missing=_excludes),
    "number": Check(accept=_a_number, missing=_number),
    "tools": Check(accept=_texts, missing=_tools),
}
"""equals: the whole answer; contains: all of these; number: one of the answer's numbers; tools: each gave a result."""
