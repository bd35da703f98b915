"""What is measured: each part of a model call's way, and the whole of it, without a provider that takes time."""

import time
from collections.abc import Sequence
from contextlib import suppress

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata

from benchmarks.micro import judging, recording, screening, telling
from benchmarks.micro.timing import Operation
from services.errors import RateLimitExceeded
from services.limits.in_memory import MemoryQuotas
from services.limits.limiter import Limiter, LimiterPolicy
from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.quota import Quota
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.llm.validator import AnswerStream, StreamCaps
from services.resilience.breaker import Breaker, BreakerOpen
from services.resilience.limit import AdaptiveLimit
from services.resilience.policy import BreakerMode, BreakerPolicy
from services.resilience.priority import Priority
from services.resilience.retry import RetryBudget
from services.runs.deadline import Deadline
from services.telemetry.metrics import UNMEASURED
from services.types import Principal

BREAKER_US = 10.0
VALIDATOR_US = 5.0
LOCAL_US = 50.0

_LATENCY_S = 0.2
_PIECES = ("tick ", "tock ")
"""Two that differ, or the validator would take them for a loop."""
_ENDLESS = StreamCaps(max_pieces=2**62, max_chars=2**62)


class Discard:
    """A run's sink that keeps nothing."""

    def text(self, delta: str, source: str | None = None) -> None: ...

    def reasoning(self, delta: str, source: str | None = None) -> None: ...

    async def drain(self) -> None: ...

    async def pace(self) -> None: ...


class _DiscardBare:
    """The same as a provider sees it, without a validator."""

    def sent(self) -> None: ...

    def text(self, delta: str) -> None: ...

    def reasoning(self, delta: str) -> None: ...

    def tool_call(self, chars: int) -> None: ...

    async def drain(self) -> None: ...


class AtOnce:
    """A provider that has its whole answer, of one piece, at once."""

    name = "at_once"
    model = "at_once"
    _answer = AIMessage(
        content=_PIECES[0],
        response_metadata={"finish_reason": "stop"},
        usage_metadata=UsageMetadata(input_tokens=1, output_tokens=1, total_tokens=2),
    )

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        sink.sent()
        sink.text(_PIECES[0])
        return self._answer

    async def aclose(self) -> None: ...


def operations() -> Sequence[Operation]:
    """Return them, each with objects of its own."""
    return (
        closed_breaker(),
        open_breaker(),
        limit(),
        retry_budget(),
        rate_admitted(),
        rate_refused(),
        validator(),
        attempt(),
        *screening.operations(),
        *judging.operations(),
        *telling.operations(AtOnce()),
        *recording.operations(),
    )


def closed_breaker() -> Operation:
    breaker = Breaker("closed")

    async def decide(times: int) -> None:
        for _ in range(times):
            permit = breaker.admit()
            permit.alive(_LATENCY_S)
            permit.release()

    return Operation(name="breaker, closed: admit, alive, release", measured=decide, times=1_000, limit_us=BREAKER_US)


def open_breaker() -> Operation:
    breaker = Breaker("open", BreakerPolicy(mode=BreakerMode.FORCED_OPEN))

    async def refuse(times: int) -> None:
        for _ in range(times):
            try:
                breaker.admit()
            except BreakerOpen:
                continue

    return Operation(name="breaker, open: a call refused", measured=refuse, times=1_000, limit_us=BREAKER_US)


def limit() -> Operation:
    places, deadline = AdaptiveLimit(), Deadline.after(3_600.0)

    async def take(times: int) -> None:
        for _ in range(times):
            slot = await places.acquire(Priority.NEW_TURN, deadline)
            slot.answered(_LATENCY_S)
            slot.release()

    return Operation(name="adaptive limit, with room: acquire, answered, release", measured=take, times=1_000)


def retry_budget() -> Operation:
    budget = RetryBudget()

    async def count(times: int) -> None:
        for _ in range(times):
            budget.requested()
            budget.succeeded()

    return Operation(name="retry budget: requested, succeeded", measured=count, times=2_000)


def rate_admitted() -> Operation:
    limiter = _limiter(Quota(limit=1_000_000_000))

    async def decide(times: int) -> None:
        for _ in range(times):
            limiter.check_flood(_CALLER, RouteClass.RUNS)

    return Operation(name="rate limit, this replica's view: let in", measured=decide, times=500, limit_us=LOCAL_US)


def rate_refused() -> Operation:
    limiter = _limiter(Quota(limit=1, window_s=1e9))
    limiter.check_flood(_CALLER, RouteClass.RUNS)

    async def refuse(times: int) -> None:
        for _ in range(times):
            with suppress(RateLimitExceeded):
                limiter.check_flood(_CALLER, RouteClass.RUNS)

    return Operation(name="rate limit, this replica's view: refused", measured=refuse, times=500, limit_us=LOCAL_US)


_CALLER = Principal(tenant_id="bench", user_id="one")


def _limiter(quota: Quota) -> Limiter:
    """With a quota for the user and the same for the tenant."""
    allowance = Allowance(requests={RouteClass.RUNS: quota})
    return Limiter(
        store=MemoryQuotas(time.monotonic),
        plans=Plans(default=Plan(user=allowance, tenant=allowance)),
        policy=LimiterPolicy(),
        clock=time.monotonic,
        meter=UNMEASURED,
    )


def validator() -> Operation:
    sink = Discard()

    async def validated(times: int) -> None:
        stream = AnswerStream(sink)
        stream.begin(_ENDLESS, lambda: None)
        for number in range(times):
            stream.text(_PIECES[number & 1])

    async def bare(times: int) -> None:
        for number in range(times):
            sink.text(_PIECES[number & 1])

    return Operation(
        name="stream validator, per chunk", measured=validated, baseline=bare, times=10_000, limit_us=VALIDATOR_US
    )


def attempt() -> Operation:
    provider, call = AtOnce(), ModelCall(messages=[HumanMessage("hello")])
    gateway, sink, deadline = Gateway([Route.of(provider)]), _DiscardBare(), Deadline.after(3_600.0)

    async def through_the_gateway(times: int) -> None:
        for _ in range(times):
            await gateway.bind(Discard(), deadline).generate(call)

    async def directly(times: int) -> None:
        for _ in range(times):
            await provider.generate(call, sink)

    return Operation(
        name="a whole call through the gateway, metrics apart",
        measured=through_the_gateway,
        baseline=directly,
        times=100,
    )
