"""The one way to a model: providers in order behind their breakers, one sink and one bill per run.

Outside in: deadline -> fail-over -> per provider: retry -> limit -> breaker -> call -> stream validator. After the first piece
of text has been shown nothing is ever restarted: the failure goes to the run, which says that its answer is partial.
"""

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import (
    ContentBlocked,
    ContextTooLong,
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelThrottled,
    ModelUnreachable,
)
from services.limits.prices import Price
from services.limits.purse import BOTTOMLESS, Purse
from services.llm.attempt import Attempts
from services.llm.call_spans import CallSpans
from services.llm.capability import CHARS_PER_TOKEN, input_tokens, most_input_tokens
from services.llm.fail_over import FailOver, capable
from services.llm.route import Route
from services.llm.screening import AnswerScreen, Unscreened, as_released, stopped
from services.llm.types import ModelCall
from services.llm.validator import AnswerStream, StreamSink
from services.pause import pause
from services.resilience.priority import Priority
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.telemetry.metrics import AGENT_DECISION_LATENCY, UNMEASURED, Meter
from services.telemetry.spans import UNTRACED, Trace
from services.types import Progress, Usage

logger = logging.getLogger(__name__)

_REFUSALS = (
    ModelUnreachable,
    ModelServerError,
    ModelThrottled,
    ModelQuotaExhausted,
    ModelAuthRejected,
    ModelMissing,
    ModelRejectedRequest,
    ContextTooLong,
)
"""The provider did not take the call on: it costs nothing, though the request was sent."""


class Gateway:
    """Routes, tried in the order given. `sleep` and `random` (0 to 1) serve the retries, `meter`, `graph` and `clock` the
    measurements: `graph` is who asks, or the judge that does.

    Cheap: all state is in the routes, so several gateways of a replica may order the same routes in their own ways.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        retry: RetryPolicy | None = None,
        meter: Meter = UNMEASURED,
        graph: str = "none",
        sleep: Callable[[float], Awaitable[None]] = pause,
        random: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.routes = tuple(routes)
        self.retry = retry or RetryPolicy()
        self.meter = meter
        self.graph = graph
        self.sleep = sleep
        self.random = random
        self.clock = clock

    def bind(
        self,
        sink: StreamSink,
        deadline: Deadline,
        priority: Priority = Priority.NEW_TURN,
        *,
        progress: Progress | None = None,
        purse: Purse = BOTTOMLESS,
        screen: AnswerScreen = Unscreened(),  # noqa: B008  it has no state
        trace: Trace = UNTRACED,
    ) -> "RunModel":
        """Return the model of one run, which goes on from its `progress` and is paid from its `purse`. What it says passes
        `screen` before anybody has it.

        `priority` is its first call's; later ones have the work done so far to lose.
        """
        model = RunModel(gateway=self, sink=sink, deadline=deadline, priority=priority, purse=purse, screen=screen)
        model.trace = trace
        if progress is not None:
            model.usage, model.answer_parts, model.priority = progress.usage, [[progress.said]], Priority.RESUME
        return model

    async def aclose(self) -> None:
        """Close every provider's connections."""
        for route in self.routes:
            await route.provider.aclose()


@dataclass(slots=True, kw_only=True)
class RunModel:
    """The gateway bound to one run: implements `ChatModel` and keeps the run's bill and what it has shown of the answer."""

    gateway: Gateway
    sink: StreamSink
    deadline: Deadline
    priority: Priority
    purse: Purse
    screen: AnswerScreen = field(default_factory=Unscreened)
    trace: Trace = UNTRACED
    usage: Usage = field(default_factory=Usage)
    provider: str | None = None
    model: str | None = None
    answer_parts: list[list[str]] = field(default_factory=list)

    @property
    def answer_text(self) -> str:
        """What was shown of the answer so far. Text with a source is work on the way, not the answer."""
        return "".join("".join(parts) for parts in self.answer_parts)

    async def generate(self, call: ModelCall, *, source: str | None = None, silent: bool = False) -> AIMessage:
        """Answer `call` by the first provider that can. Raises the last provider's ModelError when none could.

        Also raises ModelUnavailable when every provider is out of service, NoCapableModel, Overloaded, DeadlineExceeded,
        BudgetExceeded, StoreUnavailable while budgets cannot be asked, and GuardrailUnavailable. An answer that a guardrail
        has stopped ends with `content_filter`, as if its provider had done so.
        """
        gateway = self.gateway
        asked_at = gateway.clock()
        stream = AnswerStream(
            self.sink, source=source, silent=silent, screen=self.screen, tainted=call.tainted, clock=gateway.clock
        )
        if not silent and source is None:
            self.answer_parts.append(stream.parts)
        attempts = Attempts(
            call=call,
            stream=stream,
            deadline=self.deadline,
            priority=self.priority,
            purse=self.purse,
            bill=lambda *attempt: self._bill(call, *attempt),
            meter=gateway.meter,
            graph=gateway.graph,
            clock=gateway.clock,
            spans=CallSpans(trace=self.trace, source=source),
        )
        way = FailOver(attempts=attempts, policy=gateway.retry, sleep=gateway.sleep, random=gateway.random)
        answer: AIMessage | None = None
        try:
            try:
                answer = await way.answer(capable(gateway.routes, call))
                stream.finish()
            except ContentBlocked:
                pass  # what was released is the answer
            await stream.settle()
            blocked = stream.blocked
        finally:
            stream.close()
        if stream.decided_at is not None:
            decided_s = stream.decided_at - asked_at
            gateway.meter.record(AGENT_DECISION_LATENCY, decided_s, {"graph": gateway.graph})
        self.priority = max(self.priority, Priority.RESUME)
        if answer is None or blocked:
            self.screen.passed(stream.released, stream.text_chars)
            return stopped(stream.released, answer)
        return await as_released(answer, stream.released, stream.text_chars, self.screen)

    def _bill(
        self,
        call: ModelCall,
        route: Route,
        stream: AnswerStream,
        answer: AIMessage | None,
        failure: ModelError | None,
        price: Price,
    ) -> Usage:
        """Add an attempt to the run's usage, and return it."""
        self.provider, self.model = route.provider.name, route.provider.model
        used = _used(call, route, stream, answer, failure)
        used = replace(used, cost_micros=price.cost_micros(used))
        self.usage += used
        return used


def _used(
    call: ModelCall, route: Route, stream: AnswerStream, answer: AIMessage | None, failure: ModelError | None
) -> Usage:
    """Return what an attempt used: as reported, or as estimated where it was taken on without a report."""
    if answer is not None and answer.usage_metadata is not None:
        return _reported(answer.usage_metadata, call, route)
    taken_on = stream.was_sent and not isinstance(failure, _REFUSALS)
    return _estimated(call, stream) if answer is not None or taken_on or stream.chars else Usage()


def _reported(usage: UsageMetadata, call: ModelCall, route: Route) -> Usage:
    """Return what a provider says that a call used, as far as that can be: a wrong report must not use up a month's budget."""
    most_output = route.output_limit(call.options)
    input_tokens = min(usage["input_tokens"], UNSEEN_FACTOR * most_input_tokens(call) + UNSEEN_TOKENS)
    output_tokens = min(usage["output_tokens"], UNSEEN_FACTOR * most_output + UNSEEN_TOKENS)
    if (input_tokens, output_tokens) != (usage["input_tokens"], usage["output_tokens"]):
        logger.error("provider %s reports tokens that cannot be, and is not believed: %s", route.name, usage)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=min(usage.get("input_token_details", {}).get("cache_read", 0), input_tokens),
        reasoning_tokens=min(usage.get("output_token_details", {}).get("reasoning", 0), output_tokens),
        model_calls=1,
    )


UNSEEN_FACTOR, UNSEEN_TOKENS = 2, 10_000
"""How far a report may be above what a call can need by its bytes and its limit: providers add prompts of their own."""


def _estimated(call: ModelCall, stream: AnswerStream) -> Usage:
    return Usage(
        input_tokens=input_tokens(call),
        output_tokens=math.ceil(stream.chars / CHARS_PER_TOKEN),
        reasoning_tokens=math.ceil(stream.reasoning_chars / CHARS_PER_TOKEN),
        model_calls=1,
        estimated=True,
    )
