"""The tables of signs: each sign is borne by its example and not by what is near it, and none takes long."""

import re
import tomllib
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from services.guardrails import disguises, encodings, excerpt, normalise
from services.guardrails.evidence import borne
from services.guardrails.normalise import normalise as normal_form
from services.guardrails.normalise import plain
from services.guardrails.signs import SIGNS
from services.guardrails.signs.phrases import SignIndex, phrase
from services.guardrails.signs.words import MAX_ATTEMPTS, Words

HERE = Path(__file__).parent
EXAMPLES = tomllib.loads((HERE / "sign_examples.toml").read_text(encoding="utf-8"))
LANGUAGES = tomllib.loads((HERE / "language_examples.toml").read_text(encoding="utf-8"))
OF_LANGUAGES = {sign.name for sign in SIGNS if re.fullmatch(r"(override|reveal_hidden|reveal_own)_[a-z]{2}", sign.name)}

SHELL = next(sign for sign in SIGNS if sign.name == "shell")

REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
PATTERNS = {f"{sign.name} {number}": pattern for sign in SIGNS for number, pattern in enumerate(sign.patterns)}
OF_MODULES = {
    f"{module.__name__}.{name}": value
    for module in (disguises, encodings, excerpt, normalise)
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}


def names(text: str) -> set[str]:
    words = Words(plain(text))
    return {sign.name for sign in borne(words, normal_form(text), SignIndex(SIGNS).begun(words))}


def test_every_sign_has_an_example() -> None:
    """A line that is added to a table comes with what it finds and what it must leave alone."""
    assert {sign.name for sign in SIGNS} - OF_LANGUAGES == set(EXAMPLES)
    assert {name.rsplit("_", 1)[1] for name in OF_LANGUAGES} == set(LANGUAGES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_sign_is_borne_by_its_example_and_not_by_what_is_near_it(name: str) -> None:
    """Words that attacks use are not attacks by themselves."""
    assert name in names(EXAMPLES[name]["bears"])
    assert name not in names(EXAMPLES[name]["lacks"])


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_its_own_signs(code: str) -> None:
    """Earlier orders overridden, hidden ones asked for, and an ordinary question."""
    assert f"override_{code}" in names(LANGUAGES[code]["override"])
    assert f"reveal_hidden_{code}" in names(LANGUAGES[code]["reveal"])
    assert not {name for name in names(LANGUAGES[code]["lacks"]) if name.endswith(f"_{code}")}


def repeats(parsed: Any, *, within: int = 1) -> list[tuple[int, bool, int]]:
    """Every quantifier of a parsed pattern: how often at most, whether it gives nothing back, and how often it is repeated."""
    found: list[tuple[int, bool, int]] = []
    for op, value in parsed:
        if op in REPEATS:
            _, most, inner = value
            found.append((most, op is _constants.POSSESSIVE_REPEAT, within))
            found += repeats(inner, within=within * (1 if op is _constants.POSSESSIVE_REPEAT else min(most, 1_000)))
        elif op is _constants.BRANCH:
            found += [one for branch in value[1] for one in repeats(branch, within=within)]
        elif op in (_constants.SUBPATTERN, _constants.ATOMIC_GROUP, _constants.ASSERT, _constants.ASSERT_NOT):
            found += repeats(value[-1] if isinstance(value, tuple) else value, within=within)
    return found


@pytest.mark.parametrize("name", PATTERNS)
def test_every_quantifier_of_a_sign_is_bounded(name: str) -> None:
    """None is without an upper bound, and where one is within another they are small: what one attempt costs has a limit."""
    found = repeats(_parser.parse(PATTERNS[name].pattern))
    assert all(most < _constants.MAXREPEAT for most, _, _ in found)
    assert all(possessive or most * within <= 256 for most, possessive, within in found)


@pytest.mark.parametrize("name", OF_MODULES)
def test_every_quantifier_of_a_decoder_is_bounded_or_a_single_class(name: str) -> None:
    """A run without an upper bound is not within another, and is possessive unless it ends the pattern."""
    pattern = OF_MODULES[name]
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    branches = parsed[0][1][1] if len(parsed) == 1 and parsed[0][0] is _constants.BRANCH else [parsed]
    for branch in branches:
        for most, possessive, within in repeats(branch):
            ends = branch[-1][0] in REPEATS and branch[-1][1][1] == most
            assert most < _constants.MAXREPEAT or (within == 1 and (possessive or ends))
            assert possessive or ends or most * within <= 10_000


def test_attempts_are_counted_and_a_crammed_text_bears_a_sign_of_its_own() -> None:
    """However a text is made, patterns are tried on it MAX_ATTEMPTS times at most; a text that needs more is suspect."""
    crammed = "rules previous " + "ignore the " * MAX_ATTEMPTS
    words = Words(plain(crammed))
    sign = phrase("s", 1, ["{a} ~2 {b} ~2 {c}"], {"a": ("ignore",), "b": ("previous",), "c": ("rules",)})
    assert not sign.found(words, "")
    assert not words.crammed
    assert not sign.found(words, "")
    assert words.crammed
    assert "crammed" in names("instructions previous " + "ignore the " * 5_000)
    assert "crammed" not in names(
        "Please read all of the previous chapters and tell me the main points of each. " * 100
    )


def test_a_text_is_asked_for_the_signs_that_its_words_begin() -> None:
    """By whole words and by beginnings, in the order of the table; a sign without first words may be anywhere."""
    groups = {"a": ("ignore",), "b": ("begin*",)}
    signs = [phrase("second", 1, ["{b} it"], groups), phrase("first", 1, ["{a} it", "{b} now"], groups), SHELL]
    index = SignIndex(signs)
    for text, expected in [
        ("ignore it", ["first", "shell"]),
        ("beginning of it", ["second", "first", "shell"]),
        ("it has ended", ["shell"]),
    ]:
        assert [sign.name for sign in index.begun(Words(plain(text)))] == expected


def test_templates_say_what_stands_between() -> None:
    """At most so many words, none of them the end of a sentence; a group's word may have any ending where it says so."""
    sign = phrase("s", 1, ["{a} ~2 (end|stop)"], {"a": ("begin*",)})
    for text, expected in [
        ("begin end", True),
        ("beginning one two stop", True),
        ("begin one two three end", False),
        ("begin one. end", False),
        ("begin ending", False),
    ]:
        assert sign.found(Words(plain(text)), "") is expected, text
