"""The judge that is asked for one word: how its odds are read, and that neither order decides."""

import math
from collections.abc import Mapping

import pytest
from langchain_core.messages import AIMessage

from evaluation.criteria.types import CONCERN, GRADE, Part, Rubric, Scale
from evaluation.one_token import OneTokenJudge, share_of
from services.llm.first_token import ODDS
from tests.evaluation.fakes import FakeModel

PARTS = (Part(label="Question", text="6 * 7?"), Part(label="Answer", text="42"))


def odds(**shares: float) -> dict[str, float]:
    return {token: math.log(share) for token, share in shares.items()}


def reply(**shares: float) -> AIMessage:
    return AIMessage("Yes", response_metadata={ODDS: odds(**shares)})


def a_rubric(scale: Scale) -> Rubric:
    return Rubric(name="truth", version="1", scale=scale, task="Grade its truth.", question="Is it true?")


@pytest.mark.parametrize(
    ("said", "share"),
    [
        (odds(Yes=0.6, No=0.2), 0.75),
        ({" yes": math.log(0.3), "YES": math.log(0.3), "No\n": math.log(0.2)}, 0.75),
        (odds(Yes=0.9), 1.0),
        (odds(Yes=0.05, No=0.04, Maybe=0.9), None),
        (odds(Perhaps=1.0), None),
        ({}, None),
        ({"Yes": 7.0, "No": -math.inf}, 1.0),
    ],
    ids=["two", "spellings", "one", "hardly", "neither", "none", "impossible"],
)
def test_the_share_of_yes(said: Mapping[str, float], share: float | None) -> None:
    """Spellings are added up; who would rather say something else has not answered."""
    assert share_of("Yes", "No", said) == (share if share is None else pytest.approx(share))


@pytest.mark.parametrize(("scale", "value"), [(GRADE, 6.0), (CONCERN, 0.6)])
async def test_both_orders_count_the_same(scale: Scale, value: float) -> None:
    """The mean of both is spread over the scale; all but the last words is the same, for the prompt cache."""
    model = FakeModel([reply(Yes=0.8, No=0.2), reply(Yes=0.4, No=0.6)])
    judge = OneTokenJudge(model, max_chars=1_000, mark=lambda _: "m4rk")
    reading = await judge.judge(a_rubric(scale), PARTS)
    assert (judge.name, reading.reason) == ("tiny/one_token", "P(Yes) 0.80 and 0.40")
    assert reading.value == pytest.approx(value)
    (_, first), (_, second) = model.read
    assert first.removesuffix("Yes or No.") == second.removesuffix("No or Yes.")
    assert first.endswith("[/m4rk]\n\nIs it true? Reply with one word: Yes or No.")


async def test_a_choice_is_asked_by_its_letters() -> None:
    model = FakeModel([reply(A=0.9, B=0.1), reply(A=0.7, B=0.3)])
    reading = await OneTokenJudge(model, max_chars=1_000).judge(a_rubric(Scale(kind="choice", highest=1.0)), PARTS)
    assert reading.value == pytest.approx(0.8)


async def test_one_order_without_an_answer_is_unscored() -> None:
    """Half a verdict is none: the other half is the order's preference."""
    judge = OneTokenJudge(FakeModel([reply(Yes=0.8), reply(Perhaps=0.9)]), max_chars=1_000)
    assert (await judge.judge(a_rubric(GRADE), PARTS)).value is None
