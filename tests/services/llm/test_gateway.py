"""The gateway: fail-over before the first token only, one bill per run."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import ModelError, ModelServerError, ModelStreamBroken
from services.llm.gateway import Gateway, RunModel
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.types import Usage
from tests.services.llm.fakes import Shown
from tests.services.runs.fakes import FakeProvider

CALL = ModelCall(messages=[HumanMessage("hello you")])
Script = Callable[[ModelCall, TextSink], Awaitable[AIMessage]]


async def good(call: ModelCall, sink: TextSink) -> AIMessage:
    sink.text("fine")
    usage = UsageMetadata(input_tokens=7, output_tokens=2, total_tokens=9)
    return AIMessage(content="fine", usage_metadata=usage)


def failing(error: ModelError, *, after: str = "") -> Script:
    async def fail(call: ModelCall, sink: TextSink) -> AIMessage:
        if after:
            sink.text(after)
        raise error

    return fail


def model(*providers: FakeProvider) -> tuple[RunModel, Shown]:
    """A gateway that retries nothing: how that is decided is test_fail_over's."""
    shown = Shown()
    once = RetryPolicy(attempts_per_provider=1)
    gateway = Gateway([Route.of(provider) for provider in providers], retry=once)
    return gateway.bind(shown, Deadline.after(60.0)), shown


async def test_the_first_provider_answers() -> None:
    """While it can, the first provider is the only one asked, and its usage is the bill."""
    first, second = FakeProvider(good, name="a"), FakeProvider(good, name="b")
    run_model, shown = model(first, second)
    answer = await run_model.generate(CALL, source="writer")
    assert answer.content == "fine"
    assert (first.asked, second.asked) == (1, 0)
    assert shown.pieces == [("fine", "writer")]
    assert (run_model.usage.input_tokens, run_model.usage.output_tokens, run_model.usage.estimated) == (7, 2, False)


async def test_a_provider_that_fails_before_its_first_token_is_replaced() -> None:
    """The client sees only the second provider's answer, and the run knows whose it is."""
    first, second = FakeProvider(failing(ModelServerError("503")), name="a"), FakeProvider(good, name="b")
    run_model, shown = model(first, second)
    await run_model.generate(CALL)
    assert (first.asked, second.asked, run_model.provider) == (1, 1, "b")
    assert shown.pieces == [("fine", None)]


async def test_after_the_first_token_nothing_is_restarted() -> None:
    """A provider that breaks in the middle fails the call; no other one continues as if nothing had happened."""
    first, second = FakeProvider(failing(ModelServerError("x"), after="half an ans")), FakeProvider(good)
    run_model, _ = model(first, second)
    with pytest.raises(ModelServerError):
        await run_model.generate(CALL)
    assert second.asked == 0
    assert run_model.answer_text == "half an ans"
    assert run_model.usage.estimated
    assert run_model.usage.output_tokens == 3


async def test_a_silent_call_is_billed_and_not_shown() -> None:
    """A router's or planner's call costs tokens and shows nothing; it may fail over even after text."""
    first, second = FakeProvider(failing(ModelServerError("x"), after="hidden")), FakeProvider(good)
    run_model, shown = model(first, second)
    await run_model.generate(CALL, silent=True)
    assert shown.pieces == []
    assert run_model.answer_text == ""
    assert run_model.usage.model_calls == 2


async def test_work_on_the_way_is_shown_and_is_not_the_answer() -> None:
    """What a specialist says has its name on it; only text without a source is kept as the answer."""
    run_model, shown = model(FakeProvider(good))
    await run_model.generate(CALL, source="math")
    await run_model.generate(CALL)
    assert shown.pieces == [("fine", "math"), ("fine", None)]
    assert run_model.answer_text == "fine"


async def test_usage_adds_up_over_the_calls_of_a_run() -> None:
    """A run with tools makes several calls; the bill is their sum."""
    run_model, _ = model(FakeProvider(good))
    await run_model.generate(CALL)
    await run_model.generate(CALL)
    assert (run_model.usage.input_tokens, run_model.usage.model_calls) == (14, 2)


async def hang(call: ModelCall, sink: TextSink) -> AIMessage:
    sink.sent()
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_call_cancelled_while_its_prompt_is_read_is_billed() -> None:
    """The provider had the request and was reading it: the input counts, though nothing was said."""
    run_model, _ = model(FakeProvider(hang))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run_model.generate(CALL), 0.01)
    usage = run_model.usage
    assert (usage.input_tokens, usage.output_tokens, usage.model_calls, usage.estimated) == (3, 0, 1, True)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_call_that_was_refused_costs_nothing(sent: bool) -> None:
    """A status that says no, and a connection that never was, are not billed."""

    async def refuse(call: ModelCall, sink: TextSink) -> AIMessage:
        if sent:
            sink.sent()
        raise ModelServerError("503")

    run_model, _ = model(FakeProvider(refuse))
    with pytest.raises(ModelServerError):
        await run_model.generate(CALL)
    assert run_model.usage == Usage()


async def test_a_tool_call_that_was_cut_off_is_billed() -> None:
    """What a model wrote into a call is output like any other."""

    async def cut(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.tool_call(10)
        raise ModelStreamBroken("cut")

    run_model, _ = model(FakeProvider(cut))
    with pytest.raises(ModelStreamBroken):
        await run_model.generate(CALL)
    assert run_model.usage.output_tokens == 3


async def test_one_providers_words_are_not_anothers_bill() -> None:
    """After a fail-over the next provider's estimate begins at nothing."""

    async def think(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.reasoning("x" * 400)
        sink.tool_call(400)
        raise ModelStreamBroken("cut")

    async def unreported(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("fine")
        return AIMessage(content="fine")

    run_model, _ = model(FakeProvider(think), FakeProvider(unreported))
    await run_model.generate(CALL, silent=True)
    assert (run_model.usage.output_tokens, run_model.usage.reasoning_tokens) == (201, 100)
