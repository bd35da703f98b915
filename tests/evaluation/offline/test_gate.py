"""What must hold, and what cannot be tried."""

from pathlib import Path

import pytest

from evaluation.offline.command import NoJudge
from evaluation.offline.comparison import compared
from evaluation.offline.gate import Gate, read_gate
from evaluation.offline.results import Results
from evaluation.offline.runner import Marking
from tests.evaluation.fakes import FakeJudge
from tests.evaluation.offline.scripted import a_result, results_of

MARKING = Marking(criteria=("helpfulness", "safety", "length"), judge=FakeJudge())


def shares(passed: int, of: int, **values: float | None) -> Results:
    """Results in which the first so many cases have passed."""
    return results_of(MARKING, [a_result(str(at), passed=float(at < passed), **values) for at in range(of)])


def tried(rules: dict[str, dict[str, float]], found: Results, baseline: Results | None = None) -> list[bool]:
    """Whether each rule holds, without that of unscored cases, which comes first for every measure."""
    findings = Gate(rules=rules).findings(compared(found, baseline))
    return [one.holds for one in findings if "unscored" not in one.said]


def test_a_mean_may_be_enough_where_its_bound_is_not() -> None:
    """18 of 20 is 0.9, and as little as 0.70 with 95 %."""
    found = shares(18, 20)
    assert tried({"passed": {"mean": 0.9, "bound": 0.85}}, found) == [True, False]
    assert tried({"passed": {"mean": 0.91, "bound": 0.69}}, found) == [False, True]


def test_where_less_is_better_a_limit_is_an_upper_one() -> None:
    found = shares(20, 20, safety=0.1)
    assert tried({"safety": {"mean": 0.2}}, found) == [True]
    assert tried({"safety": {"mean": 0.05}}, found) == [False]


def test_a_regression_is_one_that_is_shown_and_a_margin_one_that_is_excluded() -> None:
    """Three cases of forty lost are neither shown to be a loss nor shown to be none; fifteen are a loss."""
    before = shares(40, 40)
    rules = {"passed": {"regression": 0.0, "margin": 0.1}}
    assert tried(rules, shares(37, 40), before) == [True, False]
    assert tried(rules, shares(25, 40), before) == [False, False]
    assert tried({"passed": {"regression": 0.5}}, shares(25, 40), before) == [True]
    assert tried(rules, shares(40, 40), before) == [True, True]


def test_of_28_cases_five_have_to_be_lost() -> None:
    """What docs/evaluation.md says of the shipped data set."""
    rules = {"passed": {"regression": 0.0}}
    assert tried(rules, shares(24, 28), shares(28, 28)) == [True]
    assert tried(rules, shares(23, 28), shares(28, 28)) == [False]


def test_for_a_concern_more_is_a_regression() -> None:
    before = results_of(MARKING, [a_result(str(at), safety=0.1 + at / 1000) for at in range(20)])
    after = results_of(MARKING, [a_result(str(at), safety=0.3 + at / 1000) for at in range(20)])
    assert tried({"safety": {"regression": 0.1}}, after, before) == [False]
    assert tried({"safety": {"regression": 0.1}}, before, after) == [True]


def test_what_nobody_scored_does_not_pass() -> None:
    """Neither alone nor in a comparison, however high the limit of unscored cases is."""
    found = shares(20, 20, helpfulness=None)
    assert tried({"helpfulness": {"mean": 0.0, "regression": 9.0, "unscored": 1.0}}, found, found) == [False, False]
    [unscored, mean] = Gate(rules={"helpfulness": {"mean": 0.0}}).findings(compared(found))
    assert (unscored.holds, unscored.said) == (False, "helpfulness: 100% unscored, at most 10%")
    assert not mean.holds


def test_what_cannot_be_tried_is_no_pass() -> None:
    """Results that are not finished, measures that are not there, a comparison with nothing, or with another data set."""
    found = shares(20, 20)
    unfinished = Results(conditions=found.conditions, cases=found.cases[:19])
    with pytest.raises(ValueError, match="19 of 20 cases"):
        tried({"passed": {"mean": 0.0}}, unfinished)
    with pytest.raises(ValueError, match=r"\[niceness\] was not measured"):
        tried({"niceness": {"mean": 0.0}}, found)
    with pytest.raises(ValueError, match="name one with --baseline"):
        tried({"passed": {"regression": 0.0}}, found)
    with pytest.raises(ValueError, match="no direction"):
        tried({"length": {"mean": 3.0}}, shares(20, 20, length=3.0))
    with pytest.raises(ValueError, match="different data sets"):
        tried({"passed": {"regression": 0.0}}, found, results_of(MARKING, list(found.cases), digest="d2"))
    other = Marking(criteria=MARKING.criteria, judge=NoJudge())
    with pytest.raises(ValueError, match="another judge"):
        tried({"passed": {"regression": 0.0}}, found, results_of(other, list(found.cases)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no rule"),
        ("passed = 1", "passed is a table"),
        ("[passed]", "passed is a table"),
        ("[passed]\nmeen = 1", "'meen' is not one of"),
        ("[passed]\nmean = true", "mean is a number"),
        ("[passed]\nmean = nan", "mean is a number"),
        ("[passed", "Expected"),
    ],
)
def test_a_file_of_rules_is_read_strictly(tmp_path: Path, text: str, complaint: str) -> None:
    """A rule that is misspelt would hold nothing."""
    path = tmp_path / "gate.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_gate(path)
