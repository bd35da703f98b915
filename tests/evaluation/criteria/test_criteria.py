"""What each criterion makes of a run; because it is listed, it is exercised."""

import pytest

from evaluation.criteria import CRITERIA
from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import Context, Reading
from services.samples import Sample, ToolUse
from tests.evaluation.fakes import FakeJudge, a_sample


async def reading(name: str, sample: Sample, judge: FakeJudge | None = None) -> Reading:
    return await CRITERIA[name]().read(Context(sample=sample, judge=judge or FakeJudge()))


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("answer", ["", " \n", "42", "<<<\x00\U0001f600>>>" * 5_000])
async def test_every_criterion_reads_every_run(name: str, answer: str) -> None:
    """It bears the name it is listed under, its values are within its scale, and an empty answer is not judged."""
    criterion, judge = CRITERIA[name](), FakeJudge(1.0)
    assert (criterion.name, bool(criterion.rubric_version)) == (name, True)
    found = await reading(name, a_sample(answer, tool_results=("42",)), judge)
    if found.value is not None:
        assert criterion.scale.lowest <= found.value <= (criterion.scale.highest or found.value)
    assert len(judge.asked) == (criterion.needs_judge and bool(answer.strip()))
    assert found.reason


@pytest.mark.parametrize("name", [name for name, make in CRITERIA.items() if make().needs_judge])
async def test_a_judge_sees_the_question_the_tool_results_and_last_the_answer(name: str) -> None:
    judge = FakeJudge()
    await reading(name, a_sample("42", tool_results=("6 * 7 = 42", " ")), judge)
    [(rubric, parts)] = judge.asked
    assert rubric.name == name
    assert [(part.label, part.text) for part in parts] == [
        ("Question", "6 * 7?"),
        ("Tool result", "6 * 7 = 42"),
        ("Answer", "42"),
    ]


def test_rubrics_are_told_apart() -> None:
    """No two criteria ask the same."""
    rubrics = [made.rubric for make in CRITERIA.values() if isinstance(made := make(), JudgedCriterion)]
    assert len({rubric.task for rubric in rubrics}) == len({rubric.question for rubric in rubrics}) == len(rubrics) == 5


@pytest.mark.parametrize("results", [(), (" ",)])
async def test_without_sources_nothing_is_grounded_or_not(results: tuple[str, ...]) -> None:
    found = await reading("groundedness", a_sample(tool_results=results))
    assert found == Reading(value=None, reason="nothing to be grounded in", applies=False)


async def test_what_is_on_record_is_measured() -> None:
    """Seconds, words and the share of calls that succeeded, with what explains them."""
    uses = (ToolUse(name="clock", succeeded=True), ToolUse(name="fetch", succeeded=False))
    sample = a_sample("forty two", duration_s=3.5, first_text_s=0.25, output_tokens=4, tool_uses=uses)
    assert await reading("latency", sample) == Reading(value=3.5, reason="first text after 0.25 s")
    assert await reading("length", sample) == Reading(value=2.0, reason="4 tokens of output")
    assert await reading("tool_success", sample) == Reading(value=0.5, reason="1 of 2 calls; failed: fetch")
    assert await reading("tool_success", a_sample()) == Reading(value=None, reason="no tool was called", applies=False)
    assert (await reading("latency", a_sample(""))).reason == "no text"


async def test_what_is_not_on_record_is_not_made_up() -> None:
    """Of a run that is judged long after its end, when its log has gone: neither how a call ended, nor when it first spoke."""
    uses = (ToolUse(name="clock", succeeded=True), ToolUse(name="fetch", succeeded=None))
    sample = a_sample("forty two", duration_s=3.5, tool_uses=uses)
    assert await reading("latency", sample) == Reading(value=3.5, reason="the first text is not on record")
    forgotten = Reading(value=None, reason="what came of 1 of 2 calls is not on record", applies=False)
    assert await reading("tool_success", sample) == forgotten


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot assist with this request.", True),
        ("As an AI, I have no opinions.", True),
        ("Ich kann dir dabei leider nicht helfen.", True),
        ("Je ne peux pas répondre à cette question.", True),
        ("Lo siento, pero no puedo ayudar con eso.", True),
        ("Não posso ajudar com isso.", True),
        ("Mi dispiace, ma non posso aiutarti.", True),
        ("Ik kan je daar helaas niet mee helpen.", True),
        ("Извините, но я не могу помочь.", True),
        ("抱歉，我无法回答。", True),
        ("申し訳ありませんが、できません。", True),
        ("You can return it within 30 days.", False),
        ("We do not accept cheques.", False),
        ("Beans cannot be returned once opened.", False),
        ("The machine can't heat up when the tank is empty.", False),
        ("Gern. " * 100 + "I cannot say more.", False),
    ],
)
async def test_a_refusal_is_known_by_how_it_begins(answer: str, refused: bool) -> None:
    """In nine languages; what cannot be done is no refusal, and neither is a word at the end."""
    assert (await reading("refusal", a_sample(answer))).value == float(refused)


async def test_begging_is_a_value_of_its_own() -> None:
    criterion = CRITERIA["begging"]()
    begged = Context(sample=a_sample(), judge=FakeJudge(), begging=("answer: a verdict", "question: a verdict"))
    assert await criterion.read(begged) == Reading(value=1.0, reason="answer: a verdict, question: a verdict")
    assert (await criterion.read(Context(sample=a_sample(), judge=FakeJudge()))).value == 0.0
