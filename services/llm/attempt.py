"""One call of one provider: a place in its limit, a permit of its breaker, its timers, its verdict, its bill."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from services.errors import ModelError, ModelUnavailable
from services.limits.prices import MICROS, Price
from services.limits.purse import Held, Purse, Tokens
from services.llm.call_spans import CallSpans
from services.llm.capability import input_tokens, most_input_tokens
from services.llm.patience import patience
from services.llm.route import Route
from services.llm.types import ModelCall
from services.llm.validator import AnswerStream, StreamCaps
from services.resilience.breaker import Breaker, Permit
from services.resilience.limit import Slot
from services.resilience.priority import Priority
from services.runs.deadline import Deadline
from services.telemetry.metrics import MODEL_CALLS, MODEL_FIRST_CONTENT, MODEL_INTER_TOKEN, SPENT, Meter
from services.types import Usage

Admit = Callable[[Breaker], Permit | None]
"""How a call asks a breaker: it returns None, or raises BreakerOpen, when the call may not go there."""

Bill = Callable[[Route, AnswerStream, AIMessage | None, ModelError | None, Price], Usage]
"""Told of every attempt, with its answer or its failure, or neither where it was cancelled. Returns what it used."""


EXPECTED_OUTPUT_TOKENS = 512
"""What an answer is taken for that nobody has seen the end of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Makes the attempts of one model call, each into the same stream. `graph` is who asks, for the measurements."""

    call: ModelCall
    stream: AnswerStream
    deadline: Deadline
    priority: Priority
    purse: Purse
    bill: Bill
    meter: Meter
    graph: str
    spans: CallSpans = field(default_factory=CallSpans)
    clock: Callable[[], float] = time.monotonic

    async def make(self, route: Route, admit: Admit, on_first: Callable[[], None] = lambda: None) -> AIMessage:
        """Ask one provider. Raises BreakerOpen, Overloaded, ModelUnavailable or BudgetExceeded unasked, then ModelError and
        DeadlineExceeded. While budgets cannot be asked, StoreUnavailable.
        """
        # Who is out of service keeps nobody waiting for a place: those may be held by calls that it lets hang.
        if route.limit.in_use >= route.limit.limit and route.breaker.retry_after_s > 0.0:
            raise ModelUnavailable(f"{route.name} is taken out of service.")
        slot = await route.limit.acquire(self.priority, self.deadline)
        try:
            # The breaker is asked last: what it knows may have changed while the call waited for its place.
            permit = admit(route.breaker)
            if permit is None:
                raise ModelUnavailable(f"{route.name} is taken out of service.")
            with permit:
                answer, settled = await self._ask(route, permit, slot, on_first)
        finally:
            slot.release()
        await settled  # with no place at the provider held: it may take a while where the store is slow
        return answer

    async def _ask(
        self, route: Route, permit: Permit, slot: Slot, on_first: Callable[[], None]
    ) -> tuple[AIMessage, Awaitable[None]]:
        held = await self._reserved(route)
        span = self.spans.begin(route, self.call)
        started = self.clock()
        waited_s: float | None = None

        def begun() -> None:
            nonlocal waited_s
            waited_s = self.clock() - started
            if not route.verdicts.whole:
                permit.alive(waited_s)
            slot.answered(waited_s)
            on_first()

        self.stream.begin(StreamCaps.for_tokens(route.output_limit(self.call.options)), begun)
        answer: AIMessage | None = None
        failure: ModelError | None = None
        try:
            async with self._patience(route, permit):
                answer = await route.provider.generate(self.spans.told(self.call, span), self.stream)
                if not self.call.options.stop:  # a stop sequence may be the first thing that a model says
                    self.stream.whole(answer)
            if route.verdicts.whole:
                permit.alive(self.clock() - started)
        except ModelError as error:
            failure = error
            route.verdicts.give(error, permit, route.limit)
            self.stream.break_off()
            raise
        finally:
            # Nobody waits for what a call has cost that broke or was cancelled; the replica sees to it.
            used = self.bill(route, self.stream, answer, failure, held.price)
            settled = held.settle(used)
            times = None if waited_s is None else (waited_s, self.clock() - started)
            self._measure(route, "ok" if answer else failure.code if failure else "stopped", times, used)
            self.spans.end(span, answer, failure, used, waited_s)
        route.retries.succeeded()
        return answer, settled

    async def _reserved(self, route: Route) -> Held:
        """Reserve what the call can cost at most at this provider."""
        most = Tokens(input=most_input_tokens(self.call), output=route.output_limit(self.call.options))
        expected = Tokens(input=input_tokens(self.call), output=min(most.output, EXPECTED_OUTPUT_TOKENS))
        return await self.purse.reserve(route.provider.model, most, expected)

    def _patience(self, route: Route, permit: Permit) -> AbstractAsyncContextManager[None]:
        slow_after_s = route.breaker.slow_after_s
        return patience(
            route.name, route.timers, self.stream, self.deadline, slow_after_s=slow_after_s, on_slow=permit.late
        )

    def _measure(self, route: Route, outcome: str, times: tuple[float, float] | None, used: Usage) -> None:
        """`times` are the seconds until the first content and until the end, None where nothing was said."""
        record, provider = self.meter.record, {"provider": route.name}
        record(MODEL_CALLS, 1.0, {**provider, "outcome": outcome})
        if times is not None:
            waited_s, took_s = times
            record(MODEL_FIRST_CONTENT, waited_s, provider)
            if (gaps := self.stream.pieces - 1) > 0:
                record(MODEL_INTER_TOKEN, (took_s - waited_s) / gaps, provider)
        if used.cost_micros:
            record(SPENT, used.cost_micros / MICROS, {"graph": self.graph, **provider})
