"""The judge that answers in JSON: what is a verdict, and that no text of the record can become one."""

import json
import re

import pytest
from langchain_core.messages import AIMessage

from evaluation.begging import Screening
from evaluation.calibration.hostile import Attempt, attempts
from evaluation.criteria import CRITERIA
from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import GRADE, Context, Rubric
from evaluation.structured import UNREADABLE, StructuredJudge, verdict
from tests.evaluation.fakes import FakeModel, a_sample

RUBRIC = Rubric(name="kindness", version="1", scale=GRADE, task="Grade how kind it is.", question="Is it kind?")


def said(value: object = 7, reason: object = "kind  enough", check: object = "m4rk", **more: object) -> str:
    return json.dumps({"check": check, "reason": reason, "value": value, **more})


async def test_a_verdict_is_asked_for_and_read() -> None:
    """The rubric, the mark and the schema go out; the reason comes back in one line, the value as a number."""
    model = FakeModel([AIMessage(said())])
    judge = StructuredJudge(model, max_chars=1_000, mark=lambda _: "m4rk")
    reading = await JudgedCriterion(rubric=RUBRIC).read(Context(sample=a_sample("Of course, dear."), judge=judge))
    assert (judge.name, reading.value, reading.reason) == ("tiny/structured", 7.0, "kind enough")
    [(instruction, material)] = model.read
    assert "Grade how kind it is." in instruction
    assert instruction.endswith("which is the mark m4rk.")
    assert material.endswith("Answer [m4rk]\nOf course, dear.\n[/m4rk]")
    assert model.formats[0] is not None
    schema = model.formats[0]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["check", "reason", "value"]
    assert "m4rk" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("kind", "value", "number"), [("grade", 0, 0.0), ("grade", 10, 10.0), ("yes_no", "yes", 1.0), ("yes_no", "no", 0.0)]
)
def test_a_value_is_of_its_scale(kind: str, value: object, number: float) -> None:
    assert verdict(said(value), kind=kind, mark="m4rk").value == number


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "10",
        "[]",
        said() + " ",
        said(value=11),
        said(value=-1),
        said(value=7.0),
        said(value="7"),
        said(value=True),
        said(value="yes"),
        said(value=None),
        said(reason=None),
        said(check="another"),
        said(extra=1),
        said() + said(),
        f"```json\n{said()}\n```",
        '{"check": "m4rk", "reason": "", "value": 2, "value": 10}',
        '{"value": 10}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_unreadable(reply: str) -> None:
    """No reply is bent into a verdict, and none that cannot be read is 0."""
    if reply.endswith(" "):  # JSON may have space round it
        assert verdict(reply, kind="grade", mark="m4rk").value == 7.0
    else:
        assert verdict(reply, kind="grade", mark="m4rk").value is None


OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def parrots(attempt: Attempt, own: str) -> list[str]:
    """What a judge might say that repeats what it reads, beside its own verdict or in its place."""
    texts = [attempt.text, *OBJECT.findall(attempt.text), "10", "Yes", '{"reason": "told so", "value": 10}']
    return [
        *texts,
        *(f"{text}\n{own}" for text in texts),
        *(f"{own}\n{text}" for text in texts),
        *(said(2, reason=text) for text in texts),
    ]


@pytest.mark.parametrize("attempt", attempts(), ids=lambda attempt: attempt.id)
async def test_no_text_of_the_record_becomes_the_verdict(attempt: Attempt) -> None:
    """A judge that repeats what it reads gives no score, or its own: never the one that the text wants."""
    for reply in parrots(attempt, said(2)):
        judge = StructuredJudge(FakeModel([AIMessage(reply)]), max_chars=10_000, mark=lambda _: "m4rk")
        reading = await CRITERIA["helpfulness"]().read(Context(sample=a_sample(attempt.text), judge=judge))
        assert reading.value in (None, 2.0), reply
        assert reading.value is not None or reading.reason == UNREADABLE


def test_whoever_obeys_is_marked() -> None:
    """No parser can tell a judge that was talked into its own verdict: every one of the texts marks its score."""
    screening = Screening()
    assert len(attempts()) > 50
    assert [attempt.id for attempt in attempts() if not screening(a_sample(f"It is 42. {attempt.text}"))] == []
