"""supervisor: routing by tool call, specialists with their own tools and names, bounded hand-overs."""

import asyncio
from uuid import uuid4

import pytest

from graphs.build import build, build_tools
from graphs.spec import GraphOptions
from services.errors import ConfigurationError, ContextTooLong
from services.events import HandedOver, TextDelta, ToolStarted
from services.llm.types import ModelCall
from tests.graphs.fakes import Stuck, calls, make_graph, memory, resources, says, shape, turn

TO_MATH = ("transfer_to_math", {"task": "multiply 6 by 7"})
TO_RESEARCH = ("transfer_to_research", {"task": "when are refunds paid"})
SUM = ("calculator", {"expression": "6 * 7"})


async def test_a_specialist_reports_and_the_supervisor_answers() -> None:
    """A hand-over is an event, the specialist's work streams under its name, and its report reaches the supervisor."""
    turned = turn(calls(TO_MATH), calls(SUM), says("42 it is"), says("The answer is 42."), user="6 times 7?")
    result = await make_graph("supervisor").invoke(turned.context)
    assert turned.events.of(HandedOver) == [
        HandedOver(from_agent="supervisor", to_agent="math", reason="multiply 6 by 7")
    ]
    spoken = [(event.source, event.text) for event in turned.events.of(TextDelta)]
    assert spoken == [("math", "42 it is"), (None, "The answer is 42.")]
    assert [event.source for event in turned.events.of(ToolStarted)] == ["math"]
    assert turned.model.asked[3].texts[-1] == ("tool", "42 it is")
    assert shape(result.messages) == ["assistant(c0)", "tool(c0)", "assistant"]


async def test_every_specialist_has_its_own_prompt_and_tools() -> None:
    """math calculates and tells the time, research searches; the supervisor can only hand over."""
    turned = turn(calls(TO_MATH), says("42"), calls(TO_RESEARCH), says("14 days"), says("Done."), user="both?")
    await make_graph("supervisor").invoke(turned.context)
    supervisor, math, _, research, _ = turned.model.asked
    assert supervisor.tool_names == ["transfer_to_math", "transfer_to_research"]
    assert math.tool_names == ["calculator", "clock"]
    assert research.tool_names == ["search_documents"]
    assert math.texts[0] == ("system", "You are the math.")
    assert "multiply 6 by 7" in math.texts[1][1]
    assert "both?" in math.texts[1][1]


async def test_two_specialists_work_at_once() -> None:
    """Two hand-overs in one answer run together, and their reports stand in the order of the calls."""
    met = {"math": asyncio.Event(), "research": asyncio.Event()}

    async def meet(call: ModelCall) -> object:
        me, other = ("math", "research") if "math" in str(call.messages[0].content) else ("research", "math")
        met[me].set()
        await met[other].wait()
        return says(me)

    turned = turn(calls(TO_RESEARCH, TO_MATH), meet, meet, says("Done."))
    await make_graph("supervisor").invoke(turned.context)
    assert [text for role, text in turned.model.asked[3].texts if role == "tool"] == ["research", "math"]


async def test_hand_overs_are_bounded() -> None:
    """After max_handovers the supervisor has no tools and must answer; calls beyond the limit are not made."""
    turned = turn(calls(TO_MATH), says("42"), calls(TO_MATH, TO_MATH), says("42"), says("Enough."))
    await make_graph("supervisor", max_handovers=2).invoke(turned.context)
    assert len(turned.events.of(HandedOver)) == 2
    last = turned.model.asked[-1]
    assert last.tool_names == []
    assert last.texts[-1] == ("tool", "Not done: at most 2 hand-overs are made per turn.")


async def test_an_unknown_specialist_is_an_error_to_read() -> None:
    """A transfer to nobody is answered with the names there are."""
    turned = turn(calls(("transfer_to_cook", {"task": "soup"})), says("Sorry."))
    await make_graph("supervisor").invoke(turned.context)
    assert "transfer_to_math, transfer_to_research" in turned.model.asked[1].texts[-1][1]
    assert not turned.events.of(HandedOver)


async def test_a_hand_over_without_a_task_takes_the_request() -> None:
    """A router that names no task hands over what the user said."""
    turned = turn(calls(("transfer_to_math", {})), says("42"), says("42."), user="6 times 7?")
    await make_graph("supervisor").invoke(turned.context)
    assert turned.events.of(HandedOver)[0].reason == "6 times 7?"


async def test_a_specialist_that_fails_reports_it() -> None:
    """What a specialist could not do is something for the supervisor to read."""

    def too_long(call: object) -> object:
        raise ContextTooLong("The conversation does not fit the model.")

    turned = turn(calls(TO_RESEARCH), too_long, says("I could not look it up."))
    result = await make_graph("supervisor").invoke(turned.context)
    assert turned.model.asked[2].texts[-1] == ("tool", "Failed: The conversation does not fit the model.")
    assert result.messages[-1].content == "I could not look it up."


async def test_cancelled_within_a_specialist() -> None:
    """Cancelling reaches the specialist's model call, and the thread goes on without the open hand-over."""
    stuck, thread_id, graph = Stuck(), uuid4(), make_graph("supervisor", checkpointing=memory())
    first = turn(calls(TO_MATH, TO_RESEARCH), lambda call: stuck.wait(), lambda call: stuck.wait(), thread_id=thread_id)
    task = asyncio.create_task(graph.invoke(first.context))
    await stuck.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.cancelled
    second = turn(says("Here."), thread_id=thread_id)
    await graph.invoke(second.context)
    assert shape(second.model.asked[0].call.messages) == ["system", "human", "human"]


async def test_specialists_follow_from_the_tools() -> None:
    """A specialist without tools is not offered, and without any there is nothing to supervise."""
    turned = turn(says("ok"))
    options = GraphOptions()
    await build("supervisor", options, build_tools(["clock"], resources())).invoke(turned.context)
    assert turned.model.asked[0].tool_names == ["transfer_to_math"]
    with pytest.raises(ConfigurationError, match="at least one tool"):
        build("supervisor", options, ())


async def test_a_hand_overs_event_carries_the_beginning_of_a_long_task() -> None:
    """The specialist gets the whole task; the event, which crosses between processes, its beginning."""
    task = "multiply " * 1_000
    turned = turn(calls(("transfer_to_math", {"task": task})), says("42"), says("Done."))
    await make_graph("supervisor").invoke(turned.context)
    [handed] = turned.events.of(HandedOver)
    assert len(handed.reason) < 2_100
    assert handed.reason.endswith("more characters]")
    assert task in turned.model.asked[1].texts[-1][1]
