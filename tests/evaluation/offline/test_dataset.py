"""Data sets: what a line may say, and what the shipped one asks."""

import json
from pathlib import Path

import pytest

from evaluation.offline.checks import CHECKS
from evaluation.offline.command import DATASET
from evaluation.offline.dataset import read_dataset
from tests.evaluation.offline.scripted import by_the_book

GOOD = {"id": "a", "question": "6 * 7?", "reference": "42", "expect": {"number": 42}, "tags": ["sums"]}


def test_a_case_is_a_question_or_a_conversation(tmp_path: Path) -> None:
    """Both end with what the user asks; the digest is that of the bytes."""
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "And 6 * 8?"}]
    path = tmp_path / "sums.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({"id": "b", "messages": said}) + "\n")
    found = read_dataset(path)
    assert [case.question for case in found.cases] == ["6 * 7?", "And 6 * 8?"]
    assert found.cases[0].tags == ("sums",)
    assert found.name == "sums"
    path.write_text(path.read_text() + "\n")
    assert read_dataset(path).digest != found.digest


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "Expecting property name"),
        ("[]", "a line is an object"),
        (json.dumps({**GOOD, "quesion": "?"}), "'quesion' is not one of"),
        (json.dumps({"id": "b"}), "either a question or messages"),
        (json.dumps({**GOOD, "id": " "}), "id is a text"),
        (json.dumps({**GOOD, "id": "first"}), "there is another case 'first'"),
        (json.dumps({**GOOD, "tags": "sums"}), "tags is a list"),
        (json.dumps({**GOOD, "expect": {"contain": ["x"]}}), "'contain' is not one of"),
        (json.dumps({**GOOD, "expect": {"contains": "x"}}), "a list of texts"),
        (json.dumps({**GOOD, "expect": {"number": True}}), "number is a number"),
        (json.dumps({"id": "b", "messages": [{"role": "assistant", "content": "Hi"}]}), "the last is the user's"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps({**GOOD, "id": "first"}) + "\n" + line + "\n")
    with pytest.raises(ValueError, match="line 2: ") as raised:
        read_dataset(path)
    assert complaint in str(raised.value)


def test_the_shipped_references_are_what_the_shipped_cases_expect() -> None:
    """Each reference passes its own checks, so that whoever answers right can pass; each case expects a tool and a fact."""
    cases = read_dataset(DATASET).cases
    assert len(cases) == 28
    for case in cases:
        answered = by_the_book(case)
        for name, wanted in case.expect.items():
            assert CHECKS[name].missing(wanted, answered.sample) == "", case.id
        assert len(case.expect) >= 2
        assert case.reference


def test_the_shipped_answers_are_in_the_shipped_handbook() -> None:
    """The file that a case names as its source holds what the case expects."""
    handbook = Path("graphs/tools/handbook")
    for line in DATASET.read_text().splitlines():
        row = json.loads(line)
        if "source" in row:
            text = " ".join((handbook / row["source"]).read_text().casefold().split())
            facts = [*row["expect"].get("contains", []), *row["expect"].get("contains_any", [])]
            assert any(fact.casefold() in text for fact in facts), row["id"]
