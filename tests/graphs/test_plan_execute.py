"""plan_execute: plan, steps, answer."""

from uuid import uuid4

import pytest

from graphs.plan_execute import steps_of
from services.errors import ContextTooLong, ModelThrottled
from services.events import TextDelta, ToolStarted
from services.types import ModelOptions
from tests.graphs.fakes import calls, make_graph, memory, says, shape, turn

SUM = ("calculator", {"expression": "2 + 3"})


async def test_a_plan_is_carried_out_and_answered() -> None:
    """Every step runs with tools and sees the earlier results; the writer answers from all of them."""
    turned = turn(
        says("1. Add 2 and 3.\n2. Double it."),
        calls(SUM),
        says("five"),
        says("ten"),
        says("It is ten."),
        user="(2+3)*2?",
    )
    result = await make_graph("plan_execute").invoke(turned.context)
    assert [asked.source for asked in turned.model.asked] == ["planner", "executor", "executor", "executor", None]
    second_step = turned.model.asked[3].texts[-1][1]
    assert "Carry out this step: Double it." in second_step
    assert "1. Add 2 and 3.: five" in second_step
    assert turned.model.asked[4].texts == [
        ("system", "You are the writer."),
        (
            "human",
            "Results of the steps:\n1. Add 2 and 3.: five\n2. Double it.: ten\n\nQuestion: (2+3)*2?",
        ),
    ]
    assert [(message.role, message.content) for message in result.messages] == [("assistant", "It is ten.")]


async def test_only_the_writer_speaks_for_the_agent() -> None:
    """Text without a source is the answer; planner, executor and its tools carry their names."""
    turned = turn(says("1. Add."), calls(SUM), says("five"), says("It is five."))
    await make_graph("plan_execute").invoke(turned.context)
    spoken = [(event.source, event.text) for event in turned.events.of(TextDelta)]
    assert spoken == [("planner", "1. Add."), ("executor", "five"), (None, "It is five.")]
    assert [event.source for event in turned.events.of(ToolStarted)] == ["executor"]


async def test_a_failed_step_is_told_to_the_writer() -> None:
    """A step whose task is too much does not end the run: the others go on and the writer reads what failed."""

    def too_long(call: object) -> object:
        raise ContextTooLong("The conversation does not fit the model.")

    turned = turn(says("1. Read all.\n2. Add."), too_long, says("five"), says("Partly."))
    result = await make_graph("plan_execute").invoke(turned.context)
    written = turned.model.asked[3].texts[-1][1]
    assert "1. Read all.: Failed: The conversation does not fit the model." in written
    assert "2. Add.: five" in written
    assert result.messages[-1].content == "Partly."


async def test_a_model_that_is_down_fails_the_run() -> None:
    """Trouble that every step would meet is not reported step by step."""

    def refuse(call: object) -> object:
        raise ModelThrottled("Too many requests.")

    with pytest.raises(ModelThrottled):
        await make_graph("plan_execute").invoke(turn(says("1. Add.\n2. Sum."), refuse).context)


async def test_a_step_that_loops_is_a_failed_step() -> None:
    """An executor that uses up its graph steps fails its step, not the run."""
    turned = turn(says("1. Add."), calls(SUM), calls(SUM), says("Could not add."))
    await make_graph("plan_execute", max_steps=4).invoke(turned.context)
    assert "took more than 4 steps" in turned.model.asked[3].texts[-1][1]


async def test_plans_are_bounded() -> None:
    """Of a long plan only the first steps are carried out."""
    plan = "\n".join(f"{n}. Step {n}" for n in range(1, 20))
    turned = turn(says(plan), says("done"), says("done"), says("The end."))
    await make_graph("plan_execute", max_plan_steps=2).invoke(turned.context)
    assert len(turned.model.asked) == 4


async def test_an_empty_plan_is_the_question_itself() -> None:
    """A planner with nothing to say leaves one step: the request."""
    turned = turn(says(""), says("Paris"), says("Paris."), user="Capital of France?")
    await make_graph("plan_execute").invoke(turned.context)
    assert turned.model.asked[1].texts[-1][1].endswith("Carry out this step: Capital of France?")


async def test_a_new_turn_starts_a_new_plan() -> None:
    """Plan and results of the last turn do not leak into this one; its question and answer are remembered."""
    thread_id, graph = uuid4(), make_graph("plan_execute", checkpointing=memory())
    await graph.invoke(turn(says("1. A\n2. B"), says("a"), says("b"), says("AB"), thread_id=thread_id).context)
    second = turn(says("1. C"), says("c"), says("C"), user="And C?", thread_id=thread_id)
    result = await graph.invoke(second.context)
    assert shape(second.model.asked[0].call.messages) == ["system", "human", "ai", "human"]
    assert second.model.asked[2].texts[-1][1] == "Results of the steps:\n1. C: c\n\nQuestion: And C?"
    assert [message.content for message in result.messages] == ["C"]


async def test_the_clients_limits_are_for_the_answer() -> None:
    """A client's length limit and stop words cut neither the plan nor the steps."""
    options = ModelOptions(temperature=0.5, max_output_tokens=5, stop=("\n",))
    turned = turn(says("1. A"), says("a"), says("A"), options=options)
    await make_graph("plan_execute").invoke(turned.context)
    given = [asked.call.options for asked in turned.model.asked]
    assert [(one.temperature, one.max_output_tokens, one.stop) for one in given] == [
        (0.5, None, ()),
        (0.5, None, ()),
        (0.5, 5, ("\n",)),
    ]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Here is the plan:\n1. Look.\n2) Add.\n", ["Look.", "Add."]),
        ("- Look\n* Add\n• Tell", ["Look", "Add", "Tell"]),
        ("Look.\n\nAdd.", ["Look.", "Add."]),
        ("1.\n2. Add 3.5", ["Add 3.5"]),
        ("3.5 is the mean.\nTell it.", ["3.5 is the mean.", "Tell it."]),
        ("", []),
    ],
)
def test_reading_a_plan(text: str, steps: list[str]) -> None:
    """A plan is read from the ways in which models number things."""
    assert steps_of(text, at_most=5) == steps
