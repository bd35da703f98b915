"""An evaluation as it goes: what fails, what is left when it is stopped, and what it goes on with."""

import asyncio
from pathlib import Path

import pytest

from evaluation.offline.command import NoJudge
from evaluation.offline.dataset import Case
from evaluation.offline.evaluating import Plan, evaluate
from evaluation.offline.results import FILE, Results, read_results
from evaluation.offline.runner import Marking
from evaluation.offline.target import Answered, TargetUnusable
from services.errors import ModelServerError, Overloaded
from tests.evaluation.fakes import FakeJudge
from tests.evaluation.offline.scripted import ScriptedTarget, a_case, a_dataset, an_answer

CASES = tuple(a_case(str(at), expect={"contains": ["yes"]}) for at in range(6))
CODE_ONLY = Marking(criteria=("length",), judge=NoJudge())


def yes(case: Case) -> Answered:
    return an_answer(case, "yes")


async def run(folder: Path, target: ScriptedTarget, marking: Marking = CODE_ONLY, **plan: object) -> Results:
    given = {"dataset": a_dataset(*CASES), "name": "new", **plan}
    return await evaluate(Plan(out=folder, **given), target, marking)  # type: ignore[arg-type]


async def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    """Cancelled in the middle of a case, and with half a line in its file, it asks that case again and no other twice."""
    reached = asyncio.Event()

    class Stuck(ScriptedTarget):
        async def answer(self, case: Case) -> Answered:
            if case.id == "3":
                reached.set()
                await asyncio.Event().wait()
            return await super().answer(case)

    first = Stuck(yes)
    work = asyncio.create_task(run(tmp_path, first, concurrency=1))
    await reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not read_results(tmp_path).complete
    with (tmp_path / FILE).open("a") as file:
        file.write('{"case": {"id": "3", "ques')
    second = ScriptedTarget(yes)
    found = await run(tmp_path, second, concurrency=1, resume=True)
    assert first.asked == ["0", "1", "2"]
    assert second.asked == ["3", "4", "5"]
    assert found.complete
    assert found == read_results(tmp_path)


async def test_when_the_time_is_up_no_case_is_begun(tmp_path: Path) -> None:
    target = ScriptedTarget(yes)
    assert len((await run(tmp_path, target, for_s=0.0)).cases) == 0
    assert target.asked == []


async def test_results_are_neither_written_over_nor_mixed(tmp_path: Path) -> None:
    """Going on has to be asked for, and only what was asked and marked in the same way is gone on with."""
    await run(tmp_path, ScriptedTarget(yes), for_s=0.0)
    with pytest.raises(ValueError, match="go on with --resume"):
        await run(tmp_path, ScriptedTarget(yes))
    with pytest.raises(ValueError, match="another target"):
        await run(tmp_path, ScriptedTarget(yes, name="other"), resume=True)
    with pytest.raises(ValueError, match="another digest"):
        await run(tmp_path, ScriptedTarget(yes), resume=True, dataset=a_dataset(*CASES, digest="d2"))
    with pytest.raises(ValueError, match="another measures"):
        await run(tmp_path, ScriptedTarget(yes), Marking(criteria=(), judge=NoJudge()), resume=True)


async def test_what_could_not_be_compared_is_not_begun(tmp_path: Path) -> None:
    """Another data set than the baseline's is told before a case is asked."""
    baseline = await run(tmp_path / "before", ScriptedTarget(yes))
    target = ScriptedTarget(yes)
    with pytest.raises(ValueError, match="different data sets"):
        await run(tmp_path / "after", target, dataset=a_dataset(*CASES, digest="d2"), baseline=baseline)
    assert target.asked == []
    assert not (tmp_path / "after").exists()


async def test_what_fails_is_a_result(tmp_path: Path) -> None:
    """By its code, or by its type where it is a bug; it has not passed, and is unscored by every criterion."""

    def say(case: Case) -> Answered:
        if case.id == "1":
            raise ModelServerError("no")
        if case.id == "2":
            raise KeyError("a bug")
        return an_answer(case, "no" if case.id == "3" else "yes")

    found = await run(tmp_path, ScriptedTarget(say))
    cases = {case.id: case for case in found.cases}
    assert [cases[str(at)].failure for at in range(4)] == ["", "model_server_error", "KeyError", ""]
    assert [cases[str(at)].value("answered") for at in range(4)] == [1.0, 0.0, 0.0, 1.0]
    assert [cases[str(at)].value("passed") for at in range(4)] == [1.0, 0.0, 0.0, 0.0]
    assert cases["1"].value("length") is None
    assert cases["1"].readings["length"].reason == "no answer: model_server_error"


async def test_a_target_that_answers_nobody_ends_it(tmp_path: Path) -> None:
    """No case has failed then: they can be asked when it is back."""

    def say(case: Case) -> Answered:
        raise TargetUnusable("there is nobody")

    with pytest.raises(TargetUnusable, match="there is nobody"):
        await run(tmp_path, ScriptedTarget(say))
    assert read_results(tmp_path).cases == ()


async def test_so_many_cases_are_at_work_at_once(tmp_path: Path) -> None:
    target = ScriptedTarget(yes)
    await run(tmp_path, target, concurrency=3)
    assert target.most_at_once == 3
    assert sorted(target.asked) == [case.id for case in CASES]


async def test_judges_see_the_reference_where_they_are_asked_for_it(tmp_path: Path) -> None:
    """Correctness shows it and is unscored without one; a judge who is away leaves the case unscored, not failed."""
    judge = FakeJudge(value=7.0)
    marking = Marking(criteria=("correctness", "helpfulness"), judge=judge)
    cases = (a_case("with", reference="It is yes."), a_case("without"))
    found = await run(tmp_path / "a", ScriptedTarget(yes), marking, dataset=a_dataset(*cases), concurrency=1)
    shown = [(rubric.name, [part.label for part in parts]) for rubric, parts in judge.asked]
    assert shown[0] == ("correctness", ["Question", "Reference answer", "Answer"])
    assert [name for name, _ in shown] == ["correctness", "helpfulness", "helpfulness"]
    assert [case.value("correctness") for case in found.cases] == [7.0, None]
    away = Marking(criteria=("helpfulness",), judge=FakeJudge(value=Overloaded("away")))
    found = await run(tmp_path / "b", ScriptedTarget(yes), away, dataset=a_dataset(*cases))
    assert [case.readings["helpfulness"].reason for case in found.cases] == ["overloaded", "overloaded"]
    assert [case.failure for case in found.cases] == ["", ""]


def test_an_unknown_criterion_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ValueError, match="there is no criterion 'niceness'"):
        _ = Marking(criteria=("niceness",), judge=NoJudge()).measures
