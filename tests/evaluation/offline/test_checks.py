"""What code sees in an answer."""

from typing import Any

import pytest

from evaluation.offline.checks import numbers, read
from services.samples import ToolUse
from tests.evaluation.fakes import a_sample


@pytest.mark.parametrize(
    ("expect", "answer", "passes"),
    [
        ({"equals": "Paris"}, " paris. ", True),
        ({"equals": "Paris"}, "It is Paris.", False),
        ({"contains": ["30  days", "don't"]}, "Within 30\ndays; we DON’T ask why.", True),
        ({"contains": ["30 days", "14 days"]}, "Within 30 days.", False),
        ({"contains_any": ["three years", "3 years"]}, "It has 3 years.", True),
        ({"contains_any": ["three years"]}, "It has 3 years.", False),
        ({"contains": ["3.50"]}, "It costs 13.50 euros.", False),
        ({"contains": ["3.50"]}, "It costs €3.50.", True),
        ({"contains_any": ["no"]}, "I do not know.", False),
        ({"contains": ["C++"]}, "In C++.", True),
        ({"excludes": ["vinegar"]}, "Use descaler.", True),
        ({"excludes": ["vinegar"]}, "Use Vinegar.", False),
        ({"number": 7006652}, "The product is 7,006,652.", True),
        ({"number": 72}, "15% of 480 is 72.0 euros", True),
        ({"number": 72}, "It is 720.", False),
        ({"number": -3.5}, "minus: −3.5", True),
        ({"tools": ["clock"]}, "noon", True),
        ({"tools": ["calculator"]}, "noon", False),
    ],
)
def test_an_expectation_is_in_the_answer_or_not(expect: dict[str, Any], answer: str, passes: bool) -> None:
    """A tool counts if it gave a result: the calculator of this run did not."""
    uses = (ToolUse(name="clock", succeeded=True), ToolUse(name="calculator", succeeded=False))
    assert read(expect, a_sample(answer, tool_uses=uses)).value == float(passes)


def test_nothing_expected_is_unscored_and_what_is_missing_is_said() -> None:
    assert read({}, a_sample()).value is None
    reason = read({"contains": ["x", "42"], "number": 7}, a_sample("42")).reason
    assert reason == "contains: 'x' is not in it; number: 7 is not among its numbers"


def test_numbers_are_read_with_and_without_separators() -> None:
    """A version or a word with digits in it is none of them."""
    assert numbers("1,234.5 and 12 000 and -7, not HF2 or v1.2") == [1234.5, 12000.0, -7.0]
