"""What a model call costs, whatever becomes of it, is settled; and what cannot be paid for is not asked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import BudgetExceeded, MainstayError, ModelServerError, ModelStreamBroken, StoreUnavailable
from services.limits.budgets import Amount, Budget
from services.limits.prices import Price, PriceList
from services.limits.treasury import Treasury
from services.llm.capability import FRAME_TOKENS, input_tokens, most_input_tokens
from services.llm.gateway import Gateway, RunModel
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.types import ModelOptions
from tests.services.limits.test_treasury import HurriedNaps, World, payer
from tests.services.llm.fakes import Shown
from tests.services.llm.test_gateway import failing, good
from tests.services.runs.fakes import FakeProvider

CALL = ModelCall(messages=[HumanMessage("hello you")], options=ModelOptions(max_output_tokens=100))
PRICES = PriceList(models={"fake-1": Price(input=1.0, output=10.0)})
GOOD = Amount(micros=7 + 20, tokens=9)
"""What test_gateway's good answer costs."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(prices=PRICES, sleep=HurriedNaps())
    task = asyncio.create_task(made.treasury.settle_forever())
    yield made
    task.cancel()


def model(treasury: Treasury, *providers: FakeProvider, **budgets: Budget) -> RunModel:
    gateway = Gateway([Route.of(each) for each in providers], retry=RetryPolicy(attempts_per_provider=1))
    return gateway.bind(Shown(), Deadline.after(60.0), purse=treasury.purse(payer(**budgets)))


async def settled(world: World) -> Amount:
    """What is spent, once nothing is owed any more."""
    await world.treasury.settle_all()
    spent, reserved = await world.books.owed()
    assert reserved == Amount()
    return spent


async def test_an_answer_costs_what_its_provider_reports(world: World) -> None:
    run_model = model(world.treasury, FakeProvider(good))
    await run_model.generate(CALL)
    assert await settled(world) == GOOD
    assert run_model.usage.cost_micros == GOOD.micros


async def test_what_an_answer_may_cost_is_held_while_it_comes(world: World) -> None:
    """All that its provider may be asked to say, and its input at a byte a token."""
    held = []

    async def looked(call: ModelCall, sink: TextSink) -> AIMessage:
        held.append((await world.books.owed())[1])
        return await good(call, sink)

    await model(world.treasury, FakeProvider(looked)).generate(CALL)
    most = most_input_tokens(CALL)
    assert held == [Amount(micros=most + 1_000, tokens=most + 100)]


async def test_a_stream_that_breaks_costs_what_came_of_it(world: World) -> None:
    run_model = model(world.treasury, FakeProvider(failing(ModelStreamBroken("cut"), after="four" * 4)))
    with pytest.raises(ModelStreamBroken):
        await run_model.generate(CALL)
    assert await settled(world) == Amount(micros=input_tokens(CALL) + 40, tokens=input_tokens(CALL) + 4)


async def test_a_call_that_is_refused_costs_nothing_and_the_next_provider_is_paid(world: World) -> None:
    run_model = model(
        world.treasury, FakeProvider(failing(ModelServerError("503")), name="a"), FakeProvider(good, name="b")
    )
    await run_model.generate(CALL)
    assert await settled(world) == GOOD


async def test_a_cancelled_call_costs_what_came_of_it(world: World) -> None:
    """The run is over, and the bill is not."""
    saying = asyncio.Event()

    async def endless(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.sent()
        sink.text("four" * 2)
        saying.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody lets it go on")

    run = asyncio.create_task(model(world.treasury, FakeProvider(endless)).generate(CALL))
    await saying.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await settled(world) == Amount(micros=input_tokens(CALL) + 20, tokens=input_tokens(CALL) + 2)


async def test_what_no_budget_covers_is_not_asked(world: World) -> None:
    """Nor is another provider: none of them is free."""
    first, second = FakeProvider(good, name="a"), FakeProvider(good, name="b")
    with pytest.raises(BudgetExceeded):
        await model(world.treasury, first, second, user=Budget(micros=100)).generate(CALL)
    assert (first.asked, second.asked) == (0, 0)
    assert await settled(world) == Amount()


async def test_a_budget_that_is_used_up_says_nothing_of_the_provider(world: World) -> None:
    """A hundred refusals leave its breaker closed and its places free."""
    provider = FakeProvider(good)
    route = Route.of(provider)
    gateway = Gateway([route])
    for _ in range(100):
        purse = world.treasury.purse(payer(user=Budget(micros=1)))
        with pytest.raises(BudgetExceeded):
            await gateway.bind(Shown(), Deadline.after(60.0), purse=purse).generate(CALL)
    assert route.in_service
    assert route.limit.in_use == 0


async def test_while_budgets_cannot_be_asked_the_call_at_work_ends_and_no_other_begins(world: World) -> None:
    async def goes_away(call: ModelCall, sink: TextSink) -> AIMessage:
        world.books.away = True
        return await good(call, sink)

    run_model = model(world.treasury, FakeProvider(goes_away))
    answer = await run_model.generate(CALL)
    assert answer.content == "fine"
    with pytest.raises(StoreUnavailable) as refused:
        await run_model.generate(CALL)
    assert isinstance(refused.value, MainstayError)
    world.books.away = False
    assert await settled(world) == GOOD


@pytest.mark.parametrize("text", ["hello", "grüße", "日本語のテキスト", "😀" * 10, "a" * 5_000])
def test_no_prompt_has_more_tokens_than_bytes_and_frames(text: str) -> None:
    """So no budget is passed by a prompt: what its messages say, and whose they say they are."""
    messages = [SystemMessage("be brief"), HumanMessage(text, name="名前")]
    call = replace(CALL, messages=messages, tools=[{"type": "function"}])
    tool = len(str({"type": "function"}))
    assert most_input_tokens(call) == len(b"be brief") + len(text.encode()) + 6 + tool + 4 * FRAME_TOKENS
    assert most_input_tokens(call) >= input_tokens(call)


async def test_a_report_that_cannot_be_is_not_believed(world: World) -> None:
    """Neither that a call used more than it can have, nor that more was cached than was sent."""

    async def boasting(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("fine")
        reported = UsageMetadata(
            input_tokens=2**53, output_tokens=2**53, total_tokens=2**54, input_token_details={"cache_read": 2**53}
        )
        return AIMessage(content="fine", usage_metadata=reported)

    run_model = model(world.treasury, FakeProvider(boasting))
    await run_model.generate(CALL)
    most = 2 * most_input_tokens(CALL) + 10_000
    assert run_model.usage.input_tokens == run_model.usage.cached_tokens == most
    assert run_model.usage.output_tokens == 2 * 100 + 10_000
    assert (await settled(world)).tokens == most + 10_200


async def test_usage_of_several_calls_is_one_sum(world: World) -> None:
    run_model = model(world.treasury, FakeProvider(good))
    for _ in range(3):
        await run_model.generate(CALL)
    assert await settled(world) == Amount(micros=3 * GOOD.micros, tokens=3 * GOOD.tokens)
    assert run_model.usage.cost_micros == 3 * GOOD.micros
    assert UsageMetadata(input_tokens=7, output_tokens=2, total_tokens=9)["total_tokens"] == GOOD.tokens
