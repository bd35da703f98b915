"""The texts that a model reads when a call did not end well."""

import re
import string
from pathlib import Path
from typing import Any

import pytest

from graphs.tools.outcomes import ADVICE, Outcome, Problem, told

ADVISES = re.compile(r"[Cc]all it again|[Gg]o on without|Ask (it|again)|Answer with|Write |say that|The tools are")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_says_what_to_do(problem: Problem) -> None:
    """A model that reads an error text knows what it may do next; the text is one short line."""
    text = ADVICE[problem].text
    assert ADVISES.search(text), text
    assert len(text) < 160
    assert "\n" not in text


@pytest.mark.parametrize("problem", Problem)
def test_only_the_tools_own_doing_is_its_fault(problem: Problem) -> None:
    """What was never called, was cancelled or was withheld does not count against a tool."""
    advice = ADVICE[problem]
    assert not advice.fault or advice.outcome in {Outcome.ERROR, Outcome.TIMEOUT}
    assert advice.outcome is not Outcome.OK


def test_the_table_is_complete() -> None:
    """Each problem has its row, and each outcome that a row can have is there."""
    assert set(ADVICE) == set(Problem)
    assert {advice.outcome for advice in ADVICE.values()} == set(Outcome) - {Outcome.OK, Outcome.ANSWERED}


def test_the_guide_lists_the_outcomes() -> None:
    """The table of docs/graphs.md has a row for each outcome, and no other."""
    guide = (Path(__file__).parents[3] / "docs" / "graphs.md").read_text(encoding="utf-8")
    table = guide[guide.index("| outcome | the call |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [outcome.value for outcome in Outcome]


@pytest.mark.parametrize("problem", Problem)
def test_facts_are_filled_in_as_they_are(problem: Problem) -> None:
    """A fact that looks like a placeholder stays what it is, and what cannot be stored is taken out."""
    facts: dict[str, Any] = dict.fromkeys(fields(ADVICE[problem].text), "{x}\x00\ud800")
    if "timeout_s" in facts:
        facts["timeout_s"] = 1.5
    text = told(problem, **facts).text
    text.encode()
    assert "\x00" not in text
    assert ("{x}" in text) is bool(facts.keys() - {"timeout_s"})
