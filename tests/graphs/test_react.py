"""The react graph and the runner under it: rounds, threads, cancellation."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from services.errors import ConfigurationError, InvalidRequest, ModelThrottled, StepLimitExceeded
from services.events import TextDelta, ToolFinished
from services.guard import ALLOWED, Guard, Stage, Verdict
from services.types import Message, ModelOptions, ToolCall
from tests.graphs.fakes import Reply, Stuck, calls, make_graph, memory, says, shape, turn

SUM = ("calculator", {"expression": "1234 * 5678"})


async def test_a_tool_grounds_the_answer() -> None:
    """The tool's result is in front of the model when it answers, and all new messages are returned in order."""
    turned = turn(calls(SUM), says("It is 7006652."))
    result = await make_graph().invoke(turned.context)
    assert turned.model.asked[1].texts[-1] == ("tool", "1234 * 5678 = 7006652")
    assert shape(result.messages) == ["assistant(c0)", "tool(c0)", "assistant"]
    assert result.messages[-1].content == "It is 7006652."
    assert result.finish_reason == "stop"


async def test_after_the_last_round_tools_are_off() -> None:
    """A model that asks for tools for ever is called without them after max_tool_rounds, and has to answer."""

    def always(call: object) -> object:
        return calls(SUM) if getattr(call, "tools", ()) else says("Enough.")

    turned = turn(always, looping=True)
    result = await make_graph(max_tool_rounds=2).invoke(turned.context)
    assert [bool(asked.call.tools) for asked in turned.model.asked] == [True, True, False]
    assert result.messages[-1].content == "Enough."


async def test_rounds_are_counted_per_turn() -> None:
    """Tool rounds of earlier turns do not use up those of this one."""
    thread_id, graph = uuid4(), make_graph(checkpointing=memory(), max_tool_rounds=1)
    await graph.invoke(turn(calls(SUM), says("one"), thread_id=thread_id).context)
    second = turn(calls(SUM), says("two"), thread_id=thread_id)
    await graph.invoke(second.context)
    assert [bool(asked.call.tools) for asked in second.model.asked] == [True, False]


async def test_calls_made_without_tools_are_dropped() -> None:
    """A model that writes text and yet asks for tools that are off is taken at its text."""
    turned = turn(calls(SUM, text="It is seven million."))
    result = await make_graph(max_tool_rounds=0).invoke(turned.context)
    assert shape(result.messages) == ["assistant"]
    assert result.messages[0].content == "It is seven million."


async def test_nothing_but_calls_without_tools_fails_the_run() -> None:
    """An empty answer is never passed off as an answer."""
    with pytest.raises(StepLimitExceeded):
        await make_graph(max_tool_rounds=1).invoke(turn(calls(SUM), looping=True).context)


async def test_steps_are_limited() -> None:
    """LangGraph's recursion limit becomes our error."""
    with pytest.raises(StepLimitExceeded, match="more than 3 steps"):
        await make_graph(max_tool_rounds=10, max_steps=3).invoke(turn(calls(SUM), looping=True).context)


async def test_prompts_are_live() -> None:
    """The same compiled graph speaks with whatever prompt the run brings."""
    graph = make_graph()
    for text in ("Be brief.", "Be kind."):
        turned = turn(says("ok"), prompts={"system": text})
        await graph.invoke(turned.context)
        assert turned.model.asked[0].texts == [("system", text), ("human", "Hello")]


async def test_a_missing_prompt_is_a_configuration_error() -> None:
    """A graph without its prompt says which key to write."""
    with pytest.raises(ConfigurationError, match="prompts"):
        await make_graph().invoke(turn(says("ok"), prompts={}).context)


async def test_the_clients_system_message_joins_ours() -> None:
    """There is one system message, at the front: ours, then the client's."""
    history = (Message(role="user", content="Hi"), Message(role="system", content="Speak French."))
    turned = turn(says("ok"), user=(*history, Message(role="user", content="Well?")), prompts={"system": "Be brief."})
    await make_graph().invoke(turned.context)
    assert turned.model.asked[0].texts == [
        ("system", "Be brief.\n\nSpeak French."),
        ("human", "Hi"),
        ("human", "Well?"),
    ]


async def test_the_final_prompt_serves_small_models() -> None:
    """With a `final` prompt the closing call is facts and question as plain text, without calls to imitate."""
    prompts = {"system": "Call tools like this: …", "final": "Answer in one sentence using only the facts given."}
    turned = turn(calls(SUM), says("7006652"), user="What is 1234 * 5678?", prompts=prompts)
    await make_graph(max_tool_rounds=1).invoke(turned.context)
    assert turned.model.asked[1].texts == [
        ("system", "Answer in one sentence using only the facts given."),
        ("human", "Facts:\n- 1234 * 5678 = 7006652\n\nQuestion: What is 1234 * 5678?"),
    ]


async def test_the_final_prompt_waits_for_facts() -> None:
    """Without a tool's result there is nothing to close, so the ordinary prompt stays."""
    prompts = {"system": "Be brief.", "final": "Use the facts."}
    turned = turn(says("ok"), prompts=prompts)
    await make_graph(max_tool_rounds=0).invoke(turned.context)
    assert turned.model.asked[0].texts[0] == ("system", "Be brief.")


async def test_a_thread_remembers() -> None:
    """The second turn of a thread sees the first, tool exchange and all, and returns only what it added."""
    thread_id, graph = uuid4(), make_graph(checkpointing=memory())
    await graph.invoke(turn(calls(SUM), says("7006652"), user="multiply", thread_id=thread_id).context)
    second = turn(says("as I said"), user="again?", thread_id=thread_id)
    result = await graph.invoke(second.context)
    expected = ["system", "human", "ai(c0)", "tool(c0)", "ai", "human"]
    assert shape(second.model.asked[0].call.messages) == expected
    assert [message.content for message in result.messages] == ["as I said"]


async def test_only_the_newest_checkpoint_of_a_turn_is_kept() -> None:
    """A turn of several steps leaves one checkpoint, not one per step."""
    checkpointing, thread_id = memory(), uuid4()
    turned = turn(calls(SUM), says("7006652"), thread_id=thread_id)
    await make_graph(checkpointing=checkpointing).invoke(turned.context)
    config: RunnableConfig = {"configurable": {"thread_id": str(thread_id), "tenant_id": "t"}}
    assert len([found async for found in checkpointing.saver.alist(config)]) == 1


async def test_only_what_was_added_is_returned() -> None:
    """Whatever a client's turn ends with, none of it is returned as the agent's."""
    sent = (Message(role="user", content="Hi"), Message(role="assistant", content="Hm"))
    result = await make_graph().invoke(turn(says("ok"), user=sent).context)
    assert [message.content for message in result.messages] == ["ok"]


async def test_an_ephemeral_run_leaves_no_trace() -> None:
    """An ephemeral thread is neither read from nor written to the checkpointer."""
    thread_id, graph = uuid4(), make_graph(checkpointing=memory())
    await graph.invoke(turn(calls(SUM), says("one"), thread_id=thread_id, ephemeral=True).context)
    second = turn(says("two"), thread_id=thread_id)
    await graph.invoke(second.context)
    third = turn(says("three"), thread_id=thread_id, ephemeral=True)
    await graph.invoke(third.context)
    for unknowing in (second, third):
        assert shape(unknowing.model.asked[0].call.messages) == ["system", "human"]


async def test_threads_do_not_mix() -> None:
    """One compiled graph serves many threads at once."""
    graph = make_graph(checkpointing=memory())
    turns = [turn(calls(SUM), says(f"answer {n}"), user=f"question {n}") for n in range(20)]
    results = await asyncio.gather(*[graph.invoke(one.context) for one in turns])
    assert [result.messages[-1].content for result in results] == [f"answer {n}" for n in range(20)]
    assert all(one.model.asked[1].texts[1] == ("human", f"question {n}") for n, one in enumerate(turns))


async def test_equal_message_ids_do_not_merge_answers() -> None:
    """A provider that gives each of its answers the same id does not overwrite the thread."""
    replies = [calls(SUM), says("done")]
    for reply in replies:
        reply.id = "chatcmpl-1"
    result = await make_graph().invoke(turn(*replies).context)
    assert shape(result.messages) == ["assistant(c0)", "tool(c0)", "assistant"]


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("max_tokens", "length"),
        ("", "stop"),
    ],
)
async def test_why_the_model_stopped(reported: str, reason: str) -> None:
    """The finish reason of the last answer is the run's."""
    result = await make_graph().invoke(turn(says("ok", reported)).context)
    assert result.finish_reason == reason


async def test_the_clients_model_options_reach_the_model() -> None:
    """What the client asked of the model is part of the call."""
    turned = turn(says("ok"), options=ModelOptions(temperature=0.0))
    await make_graph().invoke(turned.context)
    assert turned.model.asked[0].call.options.temperature == 0.0


async def test_a_failed_model_call_fails_the_run() -> None:
    """The model's own error comes out as it was raised."""

    def refuse(call: object) -> object:
        raise ModelThrottled("Too many requests.", retry_after_s=3.0)

    with pytest.raises(ModelThrottled):
        await make_graph().invoke(turn(refuse).context)


async def test_no_messages_is_a_bad_request() -> None:
    """A run needs something to answer."""
    with pytest.raises(InvalidRequest):
        await make_graph().invoke(turn(says("ok"), user=()).context)


async def test_a_history_with_tool_calls_comes_back_unchanged() -> None:
    """Assistant calls and tool results that arrive as input reach the model as such."""
    history = (
        Message(role="user", content="multiply"),
        Message(
            role="assistant",
            content="",
            tool_calls=(ToolCall(id="x", name="calculator", arguments='{"expression": "1"}'),),
        ),
        Message(role="tool", content="1", tool_call_id="x", name="calculator"),
        Message(role="user", content="and now?"),
    )
    turned = turn(says("ok"), user=history)
    await make_graph().invoke(turned.context)
    asked = turned.model.asked[0].call.messages
    assert shape(asked) == ["system", "human", "ai(x)", "tool(x)", "human"]
    assert isinstance(asked[2], AIMessage)
    assert asked[2].tool_calls[0]["args"] == {"expression": "1"}


async def interrupted(*script: Reply, stuck: Stuck, guard: Guard | None = None) -> tuple[list[str], int]:
    """Run a turn until it is stuck, cancel it once, run another; return what the model saw then, and the tools' results."""
    thread_id, graph = uuid4(), make_graph(checkpointing=memory())
    first = turn(*script, user="first", thread_id=thread_id, guard=guard)
    task = asyncio.create_task(graph.invoke(first.context))
    await stuck.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.cancelled
    second = turn(says("here"), user="second", thread_id=thread_id)
    result = await graph.invoke(second.context)
    assert [message.content for message in result.messages] == ["here"]
    return shape(second.model.asked[0].call.messages), len(first.events.of(ToolFinished))


async def test_cancelled_while_the_model_speaks() -> None:
    """Cancelling once stops the model's call; the question stays in the thread, which goes on."""
    stuck = Stuck()
    assert await interrupted(lambda call: stuck.wait(), stuck=stuck) == (["system", "human", "human"], 0)


async def test_cancelled_between_tool_rounds() -> None:
    """A finished tool exchange of a cancelled turn stays, complete."""
    stuck = Stuck()
    seen, finished = await interrupted(calls(SUM), lambda call: stuck.wait(), stuck=stuck)
    assert (seen, finished) == (["system", "human", "ai(c0)", "tool(c0)", "human"], 1)


async def test_cancelled_while_a_tool_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that a cancelled turn left unanswered, whole rounds of them, are gone in the next."""
    stuck, sum_checked = Stuck(), asyncio.Event()

    class Watchful:
        async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
            sum_checked.set()
            return ALLOWED

    async def search(self: object, query: str, limit: int) -> object:
        await sum_checked.wait()
        return await stuck.wait()

    monkeypatch.setattr("tests.graphs.fakes.FewDocuments.search", search)
    asked = calls(SUM, ("search_documents", {"query": "refunds"}))
    seen, finished = await interrupted(asked, stuck=stuck, guard=Watchful())
    assert (seen, finished) == (["system", "human", "human"], 1)


async def test_text_streams_as_the_answer() -> None:
    """The text of a single agent has no source: it is the answer."""
    turned = turn(says("Hello you"))
    await make_graph().invoke(turned.context)
    assert turned.events.of(TextDelta) == [TextDelta(text="Hello you", source=None)]
