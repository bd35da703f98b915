"""What every listed graph must do, because it is listed."""

import asyncio
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage

from graphs import GRAPHS
from graphs.build import check_prompts
from graphs.history import NOTES_PROMPT, HistoryOptions
from services.errors import ConfigurationError, StepLimitExceeded
from services.events import TERMINAL_EVENTS, TextDelta, ToolFinished
from services.llm.capability import input_tokens
from services.llm.types import ModelCall
from tests.graphs.fakes import PROMPTS, Stuck, make_graph, memory, says, shape, turn

KINDS = pytest.mark.parametrize("kind", GRAPHS)
KINDS_WITH_TOOLS = pytest.mark.parametrize("kind", [kind for kind, spec in GRAPHS.items() if spec.takes_tools])
ARGUMENTS = {"calculator": {"expression": "6 * 7"}, "clock": {}, "search_documents": {"query": "refunds"}}


def used(call: ModelCall) -> bool:
    """Whether a tool has answered already in this conversation."""
    return any(message.type == "tool" for message in call.messages)


def one_round(call: ModelCall) -> AIMessage:
    """Call the first two tools on offer, hand over to the first agent on offer, then answer with what came back."""
    if used(call) or not call.tools:
        return says(str(call.messages[-1].content) or "done")
    return every_tool(call)


def every_tool(call: ModelCall) -> AIMessage:
    names = [tool["function"]["name"] for tool in call.tools][:2]
    asked = [{"name": name, "args": ARGUMENTS.get(name, {"task": "t"}), "id": name} for name in names]
    return AIMessage(content="", tool_calls=asked) if asked else says("done")


def nonsense(call: ModelCall) -> AIMessage:
    """Ask for a tool that is not there, with arguments that are not JSON, then answer."""
    if used(call) or not call.tools:
        return says("done")
    return AIMessage(
        content="", invalid_tool_calls=[{"name": "no_such_tool", "args": "{{", "id": None, "error": "not JSON"}]
    )


@KINDS
async def test_answers(kind: str) -> None:
    """Every graph turns a question into new messages that end with the assistant's answer, shown as it is returned."""
    turned = turn(lambda call: says("Hello."), looping=True)
    result = await make_graph(kind).invoke(turned.context)
    assert (result.messages[-1].role, result.messages[-1].content) == ("assistant", "Hello.")
    assert turned.events.of(TextDelta)[-1] == TextDelta(text="Hello.", source=None)
    assert not any(isinstance(event, TERMINAL_EVENTS) for event in turned.events.events)


@KINDS_WITH_TOOLS
async def test_uses_tools_in_parallel(kind: str) -> None:
    """Every graph runs the tools its model asks for, several from one answer, and answers from their results."""
    turned = turn(one_round, looping=True)
    result = await make_graph(kind).invoke(turned.context)
    finished = {event.name: event for event in turned.events.of(ToolFinished)}
    assert {"calculator", "clock"} <= set(finished)
    assert all(event.ok for event in finished.values())
    assert finished["calculator"].result == "6 * 7 = 42"
    assert result.messages[-1].content


@KINDS
async def test_survives_nonsense_calls(kind: str) -> None:
    """An unknown tool with arguments that are no JSON costs a round, not the run, and leaves a valid history."""
    turned = turn(nonsense, looping=True)
    result = await make_graph(kind).invoke(turned.context)
    assert result.messages[-1].content == "done"
    for asked in turned.model.asked:
        roles = shape(asked.call.messages)
        called = [role[3:-1] for role in roles if role.startswith("ai(")]
        assert [role[5:-1] for role in roles if role.startswith("tool(")] == called


@KINDS
async def test_is_bounded(kind: str) -> None:
    """A model that never stops asking for tools gets no more than a bounded number of calls."""
    turned = turn(every_tool, looping=True)
    result = await make_graph(kind, max_tool_rounds=2, max_handovers=2, max_plan_steps=2).invoke(turned.context)
    assert result.messages[-1].content == "done"
    assert len(turned.model.asked) <= 10


@KINDS_WITH_TOOLS
async def test_steps_are_limited(kind: str) -> None:
    """The operator's limit on graph steps holds for every graph."""
    with pytest.raises(StepLimitExceeded):
        await make_graph(kind, max_steps=2).invoke(turn(every_tool, looping=True).context)


@KINDS
async def test_cancels_at_once(kind: str) -> None:
    """One cancellation of the task ends the model call in flight, and the thread takes another turn."""
    stuck, thread_id, graph = Stuck(), uuid4(), make_graph(kind, checkpointing=memory())
    task = asyncio.create_task(graph.invoke(turn(lambda call: stuck.wait(), thread_id=thread_id).context))
    await stuck.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=1.0)
    assert stuck.cancelled
    result = await graph.invoke(turn(lambda call: says("Back."), looping=True, thread_id=thread_id).context)
    assert result.messages[-1].content == "Back."


@KINDS
async def test_leaves_no_task_behind(kind: str) -> None:
    """After a turn nothing of it is still running."""
    before = asyncio.all_tasks()
    await make_graph(kind, checkpointing=memory()).invoke(turn(one_round, looping=True).context)
    assert asyncio.all_tasks() == before


@KINDS
async def test_prompts_are_live(kind: str) -> None:
    """One compiled graph speaks with whatever prompts each run brings, every one that its kind names."""
    graph = make_graph(kind)
    for mark in ("first", "second"):
        prompts = {role: f"{mark} {role}" for role in PROMPTS}
        turned = turn(one_round, looping=True, prompts=prompts)
        await graph.invoke(turned.context)
        seen = {text for asked in turned.model.asked for role, text in asked.texts if role == "system"}
        assert seen <= set(prompts.values())
        assert seen >= {f"{mark} {role}" for role in GRAPHS[kind].prompts}


@KINDS
async def test_remembers_threads(kind: str) -> None:
    """With a checkpointer the next turn sees the question and the answer of the last."""
    thread_id, graph = uuid4(), make_graph(kind, checkpointing=memory())
    await graph.invoke(turn(one_round, looping=True, user="first question", thread_id=thread_id).context)
    second = turn(lambda call: says("Again."), looping=True, user="second question", thread_id=thread_id)
    result = await graph.invoke(second.context)
    texts = [text for _, text in second.model.asked[0].texts]
    assert "first question" in texts
    assert texts.index("second question") == len(texts) - 1
    assert result.messages[-1].content == "Again."
    assert all(message.role != "user" for message in result.messages)


@KINDS
async def test_a_long_thread_fits_its_model(kind: str) -> None:
    """However long a thread grows, every call of a model stays within the limit, and what is dropped is summarised once."""
    limit, thread_id = 2_000, uuid4()
    graph = make_graph(kind, checkpointing=memory(), history=HistoryOptions(max_tokens=limit))
    notes: list[str] = []

    def talk(call: ModelCall) -> AIMessage:
        if NOTES_PROMPT in str(call.messages[0].content):
            notes.append(f"Notes {len(notes) + 1}.")
            return says(notes[-1])
        return one_round(call)

    for number in range(30):
        turned = turn(talk, looping=True, user=f"question {number} ".ljust(400, "."), thread_id=thread_id)
        result = await graph.invoke(turned.context)
        asked = [asked.call for asked in turned.model.asked if asked.source is None]
        assert all(input_tokens(call) <= limit for call in asked)
        if notes and kind != "plan_execute":  # whose writer alone is asked without a source, and reads what it is given
            assert notes[-1] in [str(message.content) for message in asked[-1].messages]
        assert all("Notes" not in message.content for message in result.messages[:-1])
    assert 1 <= len(notes) <= 15


@KINDS
def test_knows_its_prompts(kind: str) -> None:
    """A prompt that is missing, or that the kind does not know, is refused before anything runs."""
    needed = dict.fromkeys(GRAPHS[kind].prompts, "text")
    check_prompts(kind, {**needed, "final": "Be brief."})
    with pytest.raises(ConfigurationError, match="misspelt"):
        check_prompts(kind, {**needed, "misspelt": "text"})
    for role in needed:
        with pytest.raises(ConfigurationError, match=role):
            check_prompts(kind, {other: "text" for other in needed if other != role})
