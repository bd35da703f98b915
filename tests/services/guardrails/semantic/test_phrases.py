"""Forbidden words and patterns."""

import time
from random import Random

import pytest

from services.errors import ConfigurationError
from services.guard import Action
from services.guardrails.semantic.phrases import PhrasesCheck
from services.guardrails.semantic.pieces import MOST_CHARS, OVERLAP_CHARS
from services.guardrails.semantic.types import Context
from tests.services.guardrails.screen.answers import answer

PATTERNS = ["(?:plan|option) [bc]\\b", "merg(?:e|ing)\\b.{0,30}\\bacme"]
CHECK = PhrasesCheck({"phrases": ["Project Nightjar", "heron"], "patterns": PATTERNS})


async def forbidden(piece: str, before: str = "") -> bool:
    return (await CHECK.judge(piece, Context(before=before))).action is Action.BLOCK


@pytest.mark.parametrize("piece", [
    "It is called Project Nightjar.",
    "PROJECT   NIGHTJAR, they say",
    "project-nightjar",
    "Project\nNightjar",
    "Pro\u200bject Night\u00adjar",
    "\uff30roject \uff2eightjar",
    "a heron",
    "Then it is plan B.",
    "We are merging, I hear, with ACME.",
])  # fmt: skip
async def test_what_is_forbidden(piece: str) -> None:
    """However it is spaced, in capitals or not, with invisible or full-width letters."""
    assert await forbidden(piece)


@pytest.mark.parametrize("piece", ["A project at night.", "herons", "sheron", "plan bee", "The merger of acme."])
async def test_what_is_not(piece: str) -> None:
    """Words that only look like it."""
    assert not await forbidden(piece)


async def test_what_spans_two_sentences_is_found_in_the_second() -> None:
    """And what was judged with the first is not found again."""
    assert await forbidden("Nightjar is its name.", before="Nobody speaks of the project.")
    assert not await forbidden("That was it.", before="It is a heron.")


async def test_ordinary_answers_pass() -> None:
    """A thousand of them."""
    random = Random(3)
    for _ in range(1_000):
        assert not await forbidden(answer(random))


@pytest.mark.parametrize("pattern", [
    "a*", "a+b", "a{2,}", "(ab){1,9}", "(a)\\1", "(?=a)a", "(?<!a)b", "(?P<x>a)", "a{0,99}b{0,99}", "a?" * 11, "a|" * 11, "[",
])  # fmt: skip
def test_a_pattern_without_a_bound_is_refused(pattern: str) -> None:
    """It might hold up a replica."""
    with pytest.raises(ConfigurationError, match=r"phrases\.patterns"):
        PhrasesCheck({"patterns": [pattern]})


async def test_no_text_makes_it_slow() -> None:
    """The worst pattern that is accepted, over the longest piece that there is."""
    check = PhrasesCheck({"patterns": ["a{0,31}a{0,32}b", "(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)a{0,62}c"]})
    started = time.process_time()
    await check.judge("a" * (MOST_CHARS + OVERLAP_CHARS), Context(before="a" * MOST_CHARS))
    assert time.process_time() - started < 0.5
