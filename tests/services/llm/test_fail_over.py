"""The way of a call through the providers: who is asked, how often, after what wait, and who is not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from services.errors import (
    ContextTooLong,
    DeadlineExceeded,
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelOutputLoops,
    ModelOutputTooLarge,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    NoCapableModel,
    Overloaded,
)
from services.llm.capability import Capabilities
from services.llm.gateway import Gateway, RunModel
from services.llm.patience import Timers
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.breaker import Breaker, BreakerState
from services.resilience.limit import AdaptiveLimit, LimitPolicy, Slot
from services.resilience.policy import BreakerMode, BreakerPolicy
from services.resilience.priority import Priority
from services.resilience.retry import RetryBudget, RetryPolicy
from services.runs.deadline import Deadline
from services.types import ModelOptions
from tests.services.llm.fakes import Shown
from tests.services.llm.test_gateway import good
from tests.services.runs.fakes import FakeProvider

CALL = ModelCall(messages=[HumanMessage("hello you")])
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@dataclass
class World:
    """A gateway whose time stands still unless it sleeps."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def route(self, provider: FakeProvider, *, budget: RetryPolicy | None = None, **more: Any) -> Route:
        more.setdefault("breaker", Breaker(provider.name, clock=self.clock, random=lambda: 0.5))
        retries = RetryBudget(budget or RetryPolicy(), clock=self.clock)
        return Route.of(provider, retries=retries, **more)

    def model(self, *routes: Route, within_s: float = 60.0) -> RunModel:
        gateway = Gateway(routes, retry=self.retry, sleep=self.sleep, random=lambda: 0.5)
        return gateway.bind(Shown(), Deadline.after(within_s, self.clock))


@pytest.fixture
def world() -> World:
    return World()


def failing(*errors: ModelError, name: str = "a") -> FakeProvider:
    """A provider that fails with each of these in turn, then answers."""
    left = list(errors)

    async def fail(call: ModelCall, sink: TextSink) -> AIMessage:
        if left:
            raise left.pop(0)
        return await good(call, sink)

    return FakeProvider(fail, name=name)


def broken(error: ModelError, name: str = "a") -> FakeProvider:
    return failing(*[error] * 1_000, name=name)


def healthy(name: str = "b") -> FakeProvider:
    return FakeProvider(good, name=name)


def shut(world: World, name: str = "a", **policy: Any) -> Breaker:
    """A breaker that nobody passes."""
    forced = BreakerPolicy(mode=BreakerMode.FORCED_OPEN, **policy)
    return Breaker(name, forced, clock=world.clock, random=lambda: 0.5)


def tripped(world: World, name: str = "a") -> Breaker:
    """A breaker that five failures have opened."""
    breaker = Breaker(name, clock=world.clock, random=lambda: 0.5)
    for _ in range(5):
        with breaker.admit() as permit:
            permit.failed()
    assert breaker.state is BreakerState.OPEN
    return breaker


# --- retry ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ModelUnreachable, ModelServerError, ModelStreamBroken])
async def test_a_passing_failure_is_tried_once_more(world: World, error: type[ModelError]) -> None:
    """The same provider gets the call again after a jittered wait, and its answer is the answer."""
    provider = failing(error("x"))
    answer = await world.model(world.route(provider)).generate(CALL)
    assert (answer.content, provider.asked, world.slept) == ("fine", 2, [0.125])


@pytest.mark.parametrize(
    "error",
    [ModelQuotaExhausted, ModelAuthRejected, ModelRejectedRequest, ModelMissing, ContextTooLong, ModelOutputLoops],
)
async def test_what_a_second_try_cannot_cure_is_not_tried(world: World, error: type[ModelError]) -> None:
    """One attempt, no wait, and the failure as it was."""
    provider = broken(error("x"))
    with pytest.raises(error):
        await world.model(world.route(provider)).generate(CALL)
    assert (provider.asked, world.slept) == (1, [])


async def test_two_attempts_per_provider_and_three_in_all(world: World) -> None:
    """However many providers there are."""
    providers = [broken(ModelServerError("503"), name) for name in ("a", "b", "c")]
    with pytest.raises(ModelServerError):
        await world.model(*map(world.route, providers)).generate(CALL)
    assert [provider.asked for provider in providers] == [2, 1, 0]


async def test_a_short_retry_after_is_waited_for(world: World) -> None:
    """The wait is what the provider asks for where that is longer than the jitter."""
    provider = failing(ModelServerError("503", retry_after_s=3.0))
    await world.model(world.route(provider)).generate(CALL)
    assert world.slept == [3.0]


async def test_a_long_retry_after_is_not(world: World) -> None:
    """A client would rather hear of it than wait in silence."""
    provider = broken(ModelServerError("503", retry_after_s=30.0))
    with pytest.raises(ModelServerError) as caught:
        await world.model(world.route(provider)).generate(CALL)
    assert (provider.asked, world.slept, caught.value.retry_after_s) == (1, [], 30.0)


async def test_a_throttle_is_waited_out_where_nobody_else_can_answer(world: World) -> None:
    """The wait ends after the cooldown, whose jitter is on top, and the breaker has stayed closed."""
    provider = failing(ModelThrottled("429", retry_after_s=1.0))
    route = world.route(provider)
    await world.model(route).generate(CALL)
    assert world.slept == [pytest.approx(1.1)]
    assert route.in_service


async def test_a_throttle_is_not_waited_out_where_somebody_else_can_answer(world: World) -> None:
    """The next provider gets the call at once."""
    first, second = broken(ModelThrottled("429", retry_after_s=1.0)), healthy()
    await world.model(world.route(first), world.route(second)).generate(CALL)
    assert (first.asked, second.asked, world.slept) == (1, 1, [])


async def test_no_retry_beyond_the_deadline(world: World) -> None:
    """A wait that the run would not survive is not begun."""
    provider = broken(ModelServerError("503", retry_after_s=3.0))
    with pytest.raises(ModelServerError):
        await world.model(world.route(provider), within_s=2.0).generate(CALL)
    assert world.slept == []


async def test_a_provider_that_this_failure_took_out_of_service_is_not_asked_again(world: World) -> None:
    """The breaker has just opened: waiting for its probe would only keep the client waiting."""
    provider = failing(ModelServerError("503"))
    once = Breaker("a", BreakerPolicy(consecutive_failures=1), clock=world.clock, random=lambda: 0.5)
    with pytest.raises(ModelServerError):
        await world.model(world.route(provider, breaker=once)).generate(CALL)
    assert (provider.asked, world.slept) == (1, [])


async def test_successes_fill_the_budget_again(world: World) -> None:
    """A retry costs five tokens, and every answer brings one back."""
    errors = [ModelServerError("503")]
    provider = failing(*errors)
    route = world.route(provider, budget=RetryPolicy(bucket_size=5))
    await world.model(route).generate(CALL)
    assert not route.retries.spend(timeout=False)
    for _ in range(4):
        await world.model(route).generate(CALL)
    assert route.retries.spend(timeout=False)


async def test_an_empty_budget_ends_retries(world: World) -> None:
    """When retries are used up each failure is final, at once."""
    provider = broken(ModelServerError("503"))
    policy = BreakerPolicy(mode=BreakerMode.METRICS_ONLY)
    route = world.route(provider, budget=RetryPolicy(bucket_size=10), breaker=Breaker("a", policy, clock=world.clock))
    for _ in range(10):
        with pytest.raises(ModelServerError):
            await world.model(route).generate(CALL)
    assert provider.asked == 12


async def test_a_timeout_is_repeated_only_where_nobody_else_can_answer(world: World) -> None:
    """What was waited for in vain goes to the next provider; alone, it is asked again."""
    late, second = failing(ModelTimeout("20 s")), healthy()
    await world.model(world.route(late), world.route(second)).generate(CALL)
    assert (late.asked, second.asked) == (1, 1)
    alone = failing(ModelTimeout("20 s"))
    await world.model(world.route(alone)).generate(CALL)
    assert alone.asked == 2


async def test_a_storm_of_failures_costs_few_attempts(world: World) -> None:
    """A thousand requests against nothing but 503, ten a second: at most 1,100 attempts, and each request has an end."""
    provider = broken(ModelServerError("503"))
    route = world.route(provider)
    for _ in range(1_000):
        with pytest.raises((ModelServerError, ModelUnavailable)):
            await world.model(route).generate(CALL)
        world.now += 0.1
    assert provider.asked <= 1_100


# --- fail-over --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ModelUnreachable,
        ModelServerError,
        ModelStreamBroken,
        ModelTimeout,
        ModelThrottled,
        ModelQuotaExhausted,
        ModelAuthRejected,
        ModelMissing,
    ],
)
async def test_what_is_the_providers_fault_goes_to_the_next(world: World, error: type[ModelError]) -> None:
    """With its tools and everything else it came with."""
    first, second = broken(error("x")), healthy()
    call = replace(CALL, tools=[TOOL])
    seen: list[ModelCall] = []

    async def keep(call: ModelCall, sink: TextSink) -> AIMessage:
        seen.append(call)
        return await good(call, sink)

    second.script = keep
    run_model = world.model(world.route(first), world.route(second))
    await run_model.generate(call)
    assert seen == [call]
    assert run_model.provider == "b"


async def test_a_wrong_request_is_not_sent_elsewhere(world: World) -> None:
    """What one provider rejects as malformed is our mistake, whoever is asked."""
    second = healthy()
    with pytest.raises(ModelRejectedRequest):
        await world.model(world.route(broken(ModelRejectedRequest("400"))), world.route(second)).generate(CALL)
    assert second.asked == 0


async def test_after_the_first_piece_nothing_is_restarted(world: World) -> None:
    """Neither by the same provider nor by another."""

    async def speak_and_fail(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("half")
        raise ModelStreamBroken("cut")

    first, second = FakeProvider(speak_and_fail), healthy()
    with pytest.raises(ModelStreamBroken):
        await world.model(world.route(first), world.route(second)).generate(CALL)
    assert (first.asked, second.asked, world.slept) == (1, 0, [])


async def test_an_open_breaker_is_passed_over_in_silence(world: World) -> None:
    """The second provider is then simply first: no attempt, no wait, no place of the fail-over cap."""
    first, second = healthy("a"), healthy("b")
    limit = AdaptiveLimit(LimitPolicy(initial=4, min_limit=4, max_limit=4))
    route = world.route(second, limit=limit)
    with route.fail_overs.taken():
        await world.model(world.route(first, breaker=tripped(world)), route).generate(CALL)
    assert (first.asked, second.asked, world.slept) == (0, 1, [])


async def test_the_cap_does_not_hold_once_the_first_is_out_of_service(world: World) -> None:
    """The failure that opens the first one's breaker makes the second simply first, for the failed call too."""
    once = Breaker("a", BreakerPolicy(consecutive_failures=1), clock=world.clock, random=lambda: 0.5)
    first, second = broken(ModelServerError("503")), healthy()
    route = world.route(second, limit=AdaptiveLimit(LimitPolicy(initial=4, min_limit=4, max_limit=4)))
    with route.fail_overs.taken():
        await world.model(world.route(first, breaker=once), route).generate(CALL)
    assert second.asked == 1


async def test_a_provider_that_comes_back_gets_its_share_where_there_is_another(world: World) -> None:
    """While it starts slowly the rest goes to the second; alone it gets everything."""
    breaker = tripped(world)
    world.now += 3.0
    for _ in range(3):
        with breaker.admit() as permit:
            permit.alive(0.1)
    assert breaker.state is BreakerState.CLOSED
    first, second = healthy("a"), healthy("b")
    for _ in range(8):
        await world.model(world.route(first, breaker=breaker), world.route(second)).generate(CALL)
    assert (first.asked, second.asked) == (2, 6)
    for _ in range(8):
        await world.model(world.route(first, breaker=breaker)).generate(CALL)
    assert first.asked == 10


@pytest.mark.parametrize("away", [shut, tripped])
async def test_a_slow_start_sheds_nothing_when_the_others_are_out_of_service(
    world: World, away: Callable[[World, str], Breaker]
) -> None:
    """The one provider that is back takes everything at once, though another one is configured."""
    breaker = tripped(world)
    world.now += 3.0
    for _ in range(3):
        with breaker.admit() as permit:
            permit.alive(0.1)
    first, second = healthy("a"), broken(ModelServerError("503"), "b")
    routes = world.route(first, breaker=breaker), world.route(second, breaker=away(world, "b"))
    for _ in range(20):
        await world.model(*routes).generate(CALL)
    assert (first.asked, second.asked) == (20, 0)


async def test_who_is_out_of_service_keeps_nobody_waiting(world: World) -> None:
    """Calls that hang at a provider hold its places; once its breaker is open nobody queues for them."""
    full = AdaptiveLimit(LimitPolicy(initial=1, min_limit=1, max_limit=1, max_wait_s=3_600.0))
    first, second = healthy("a"), healthy("b")
    routes = world.route(first, breaker=tripped(world), limit=full), world.route(second)
    async with Held(full):
        await world.model(*routes).generate(CALL)
        assert full.waiting == 0
    assert (first.asked, second.asked) == (0, 1)


async def test_the_caps_place_is_free_at_the_first_content(world: World) -> None:
    """As the provider's own places are: how long answers take says nothing of how much it can begin."""
    rest = asyncio.Event()

    async def speak(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("fine")
        await rest.wait()
        return AIMessage(content="fine")

    limit = AdaptiveLimit(LimitPolicy(initial=4, min_limit=4, max_limit=4))
    second = world.route(FakeProvider(speak, name="b"), limit=limit)
    asked = [world.model(world.route(broken(ModelMissing("404"))), second).generate(CALL) for _ in range(10)]
    tasks = []
    for call in asked:
        tasks.append(asyncio.create_task(call))
        await asyncio.sleep(0)
    rest.set()
    assert [answer.content for answer in await asyncio.gather(*tasks)] == ["fine"] * 10


async def test_fail_overs_have_a_cap_of_their_own(world: World) -> None:
    """A quarter of the second provider's places: beyond it a failure is the client's, and the second keeps its own load."""
    first, second = broken(ModelQuotaExhausted("x")), healthy()
    limit = AdaptiveLimit(LimitPolicy(initial=4, min_limit=4, max_limit=4))
    route = world.route(second, limit=limit)
    still_in_service = Breaker("a", BreakerPolicy(mode=BreakerMode.METRICS_ONLY), clock=world.clock)
    run_model = world.model(world.route(first, breaker=still_in_service), route)
    with route.fail_overs.taken(), pytest.raises(ModelQuotaExhausted):
        await run_model.generate(CALL)
    await run_model.generate(CALL)
    assert second.asked == 1


async def test_when_nobody_is_in_service_it_is_said_when_to_come_back(world: World) -> None:
    """Every breaker open: 503 with the time to the next probe, and nobody is asked."""
    first, second = healthy("a"), healthy("b")
    routes = [world.route(first, breaker=shut(world)), world.route(second, breaker=shut(world, retry_after_max_s=7.0))]
    with pytest.raises(ModelUnavailable) as caught:
        await world.model(*routes).generate(CALL)
    assert (first.asked, second.asked, caught.value.retry_after_s) == (0, 0, 7.0)


async def test_in_panic_one_call_a_second_is_let_through(world: World) -> None:
    """Breakers can be wrong: with every one of them open, one call a second is asked all the same."""
    provider = healthy("a")
    route = world.route(provider, breaker=tripped(world))
    await world.model(route).generate(CALL)
    assert route.breaker.state is BreakerState.HALF_OPEN
    again = world.route(broken(ModelServerError("503")), breaker=tripped(world))
    with pytest.raises(ModelServerError):
        await world.model(again).generate(CALL)
    with pytest.raises(ModelUnavailable):
        await world.model(again).generate(CALL)
    world.now += 1.0
    with pytest.raises(ModelServerError):
        await world.model(again).generate(CALL)


async def test_in_panic_a_full_provider_does_not_hide_the_next(world: World) -> None:
    """Wherever there is a place, the one call of the second goes."""
    full = AdaptiveLimit(LimitPolicy(initial=1, min_limit=1, max_limit=1, max_wait_s=0.01))
    routes = [
        world.route(healthy("a"), breaker=tripped(world), limit=full),
        world.route(healthy("b"), breaker=tripped(world, "b")),
    ]
    async with Held(full):
        assert (await world.model(*routes).generate(CALL)).content == "fine"


async def test_a_full_provider_is_passed_over(world: World) -> None:
    """No place at the first: the second answers; no place anywhere is our overload, with a time to come back."""
    full = AdaptiveLimit(LimitPolicy(initial=1, min_limit=1, max_limit=1, max_wait_s=0.01))
    first, second = healthy("a"), healthy("b")
    routes = [world.route(first, limit=full), world.route(second)]
    async with Held(full):
        await world.model(*routes).generate(CALL)
        with pytest.raises(Overloaded) as caught:
            await world.model(routes[0]).generate(CALL)
    assert (first.asked, second.asked) == (0, 1)
    assert (caught.value.retry_after_s or 0.0) >= 1.0


@dataclass
class Held:
    """Every place of a limit, taken."""

    limit: AdaptiveLimit

    async def __aenter__(self) -> None:
        self._slots = [await self.limit.acquire(Priority.RESUME, Deadline.after(9.0)) for _ in range(self.limit.limit)]

    async def __aexit__(self, *_: object) -> None:
        for slot in self._slots:
            slot.release()


# --- capability -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lacks", "call"),
    [
        (Capabilities(tools=False), replace(CALL, tools=[TOOL])),
        (Capabilities(json_mode=False), replace(CALL, response_format={"type": "json_object"})),
    ],
)
async def test_a_call_goes_to_who_can_take_it(world: World, lacks: Capabilities, call: ModelCall) -> None:
    """Tools and JSON are never dropped to get an answer; without any provider for them the call is refused."""
    first, second = healthy("a"), healthy("b")
    await world.model(world.route(first, capabilities=lacks), world.route(second)).generate(call)
    assert (first.asked, second.asked) == (0, 1)
    with pytest.raises(NoCapableModel):
        await world.model(world.route(first, capabilities=lacks)).generate(call)
    await world.model(world.route(first, capabilities=lacks)).generate(CALL)


async def test_a_long_conversation_goes_to_the_larger_context(world: World) -> None:
    """As far as characters tell; where nobody seems to have room, the first is asked: it knows better."""
    small, large = healthy("a"), healthy("b")
    routes = [
        world.route(small, capabilities=Capabilities(context_tokens=100)),
        world.route(large, capabilities=Capabilities(context_tokens=1_000)),
    ]
    await world.model(*routes).generate(ModelCall(messages=[HumanMessage("x" * 2_000)]))
    assert (small.asked, large.asked) == (0, 1)
    await world.model(*routes).generate(ModelCall(messages=[HumanMessage("x" * 20_000)]))
    assert (small.asked, large.asked) == (1, 1)


async def test_what_was_too_long_for_one_is_only_sent_to_a_larger_one(world: World) -> None:
    """A provider that says the context is too long is believed, for itself and for every smaller one."""
    first, smaller, larger = broken(ContextTooLong("400")), healthy("b"), healthy("c")
    routes = [
        world.route(first, capabilities=Capabilities(context_tokens=1_000)),
        world.route(smaller, capabilities=Capabilities(context_tokens=500)),
        world.route(larger, capabilities=Capabilities(context_tokens=9_000)),
    ]
    await world.model(*routes).generate(CALL)
    assert (smaller.asked, larger.asked) == (0, 1)
    with pytest.raises(ContextTooLong):
        await world.model(*routes[:2]).generate(CALL)


# --- verdicts ---------------------------------------------------------------------------------------------------------


async def hang(call: ModelCall, sink: TextSink) -> AIMessage:
    await asyncio.Event().wait()
    raise AssertionError


async def test_cancelled_calls_say_nothing_of_a_provider(world: World) -> None:
    """A thousand clients that leave: no failure is counted, every one is cancelled, every place is free again."""
    route = world.route(FakeProvider(hang))
    tasks = [asyncio.create_task(world.model(route).generate(CALL)) for _ in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)
    assert (route.breaker.snapshot().calls, route.limit.in_use, route.in_service) == (0, 0, True)


async def test_the_runs_own_time_limit_says_nothing_of_a_provider() -> None:
    """Unless it was silent for so long that it counts as slow."""
    patient = Route.of(FakeProvider(hang))
    hasty = Route.of(FakeProvider(hang), breaker=Breaker("a", BreakerPolicy(slow_floor_s=0.01)))
    for route in (patient, hasty):
        with pytest.raises(DeadlineExceeded):
            await Gateway([route, Route.of(healthy())]).bind(Shown(), Deadline.after(0.05)).generate(CALL)
    assert (patient.breaker.snapshot().calls, hasty.breaker.snapshot().slow_rate) == (0, 1.0)


@pytest.mark.parametrize(
    ("error", "state"), [(ModelAuthRejected, BreakerState.OPEN), (ModelQuotaExhausted, BreakerState.OPEN)]
)
async def test_a_refused_key_and_an_empty_quota_open_at_once(
    world: World, error: type[ModelError], state: BreakerState
) -> None:
    """Nobody else needs to learn it for himself."""
    route = world.route(broken(error("x")))
    with pytest.raises(error):
        await world.model(route).generate(CALL)
    assert route.breaker.state is state


async def test_a_throttle_makes_the_limit_smaller(world: World) -> None:
    """429 is no failure: the breaker stays closed, and fewer calls may wait at once."""
    route = world.route(broken(ModelThrottled("429", retry_after_s=60.0)))
    before = route.limit.limit
    with pytest.raises(ModelThrottled):
        await world.model(route).generate(CALL)
    assert route.limit.limit < before
    assert route.in_service


async def test_an_outage_that_says_how_long_is_believed(world: World) -> None:
    """Retry-After of the failure that opens the breaker is how long it stays open."""
    once = Breaker("a", BreakerPolicy(consecutive_failures=1), clock=world.clock, random=lambda: 0.5)
    with pytest.raises(ModelServerError):
        await world.model(world.route(broken(ModelServerError("503", retry_after_s=60.0)), breaker=once)).generate(CALL)
    assert once.retry_after_s >= 60.0


async def test_an_empty_answer_is_a_failure(world: World) -> None:
    """A model that stops without a word is asked again, and then it is the next one's turn."""

    async def nothing(call: ModelCall, sink: TextSink) -> AIMessage:
        return AIMessage(content="", response_metadata={"finish_reason": "stop"})

    first, second = FakeProvider(nothing, name="a"), healthy()
    await world.model(world.route(first), world.route(second)).generate(CALL)
    assert (first.asked, second.asked) == (2, 1)


async def test_a_run_that_has_begun_comes_before_one_that_has_not(world: World) -> None:
    """Its first call is a new turn; the later ones have work to lose."""
    asked: list[Priority] = []

    class Watched(AdaptiveLimit):
        async def acquire(self, priority: Priority, deadline: Deadline) -> Slot:
            asked.append(priority)
            return await super().acquire(priority, deadline)

    run_model = world.model(world.route(healthy("a"), limit=Watched()))
    for _ in range(3):
        await run_model.generate(CALL)
    assert asked == [Priority.NEW_TURN, Priority.RESUME, Priority.RESUME]


@pytest.mark.parametrize("said", [[" hello"] * 200, [f" w{number}" for number in range(300)]], ids=["loop", "flood"])
async def test_what_a_client_can_provoke_says_nothing_of_a_provider(world: World, said: list[str]) -> None:
    """Somebody who asks for the same word two hundred times takes the provider away from nobody."""

    async def say(call: ModelCall, sink: TextSink) -> AIMessage:
        for piece in said:
            sink.text(piece)
        return AIMessage(content="".join(said))

    route = world.route(FakeProvider(say, name="a"))
    for _ in range(10):
        with pytest.raises(ModelOutputTooLarge):
            await world.model(route).generate(replace(CALL, options=ModelOptions(max_output_tokens=16)))
    assert route.in_service


async def test_a_stop_sequence_may_be_the_first_thing_said(world: World) -> None:
    """Then an empty answer is what was asked for."""

    async def nothing(call: ModelCall, sink: TextSink) -> AIMessage:
        return AIMessage(content="", response_metadata={"finish_reason": "stop"})

    call = replace(CALL, options=ModelOptions(stop=("a",)))
    assert (await world.model(world.route(FakeProvider(nothing, name="a"))).generate(call)).content == ""


async def test_content_is_the_verdict_and_frees_the_place() -> None:
    """At the first piece the provider is alive, whatever becomes of the answer; the place is free for the next call."""
    spoke = asyncio.Event()

    async def speak_and_hang(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("hello")
        spoke.set()
        return await hang(call, sink)

    route = Route.of(FakeProvider(speak_and_hang), timers=Timers(between_content_s=0.05))
    task = asyncio.create_task(Gateway([route]).bind(Shown(), Deadline.after(9.0)).generate(CALL))
    await spoke.wait()
    assert (route.breaker.snapshot().calls, route.breaker.snapshot().failure_rate, route.limit.in_use) == (1, 0.0, 0)
    with pytest.raises(ModelTimeout):
        await task
