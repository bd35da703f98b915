"""The way of one model call through the providers: retry inside each, fail-over between them, never after the first byte.

Retries are made at this one layer only: the SDKs below make none, and the graphs above see one answer or one error.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from services.errors import (
    ContextTooLong,
    ModelError,
    ModelRejectedRequest,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    NoCapableModel,
    Overloaded,
)
from services.llm.attempt import Attempts
from services.llm.route import Route
from services.llm.types import ModelCall
from services.llm.verdicts import REPEATABLE
from services.resilience.breaker import Breaker, BreakerOpen, Permit
from services.resilience.retry import RetryPolicy, backoff_s
from services.telemetry.metrics import MODEL_FAIL_OVERS, MODEL_RETRIES

logger = logging.getLogger(__name__)

MIN_RETRY_AFTER_S = 1.0


def capable(routes: Sequence[Route], call: ModelCall) -> Sequence[Route]:
    """Return the routes that can take the call, in their order. Raises NoCapableModel when none has what it needs.

    Length only decides between them: it is estimated from characters, and the provider itself knows better.
    """
    if not routes:
        raise ModelUnreachable("No provider is configured.")
    able = [route for route in routes if route.capabilities.lacking(call) is None]
    if not able:
        raise NoCapableModel(f"No configured provider offers {routes[0].capabilities.lacking(call)}.")
    return [route for route in able if route.capabilities.has_room(call)] or able


@dataclass(slots=True, kw_only=True)
class FailOver:
    """One call on its way. `answer` is called once."""

    attempts: Attempts
    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    _made: int = field(default=0, init=False)
    _failure: ModelError | Overloaded | None = field(default=None, init=False)
    _failed_by: Route | None = field(default=None, init=False)
    _shed_by: Route | None = field(default=None, init=False)

    async def answer(self, routes: Sequence[Route]) -> AIMessage:
        """Return the first answer that one of `routes`, in their order, gives.

        Raises the last failure; ModelUnavailable when every breaker is open; Overloaded when there is room nowhere.
        """
        for place, route in enumerate(routes):
            if self._made >= self.policy.attempts_in_all:
                break
            if self._outgrown(route):
                continue
            if place:
                self.attempts.meter.record(MODEL_FAIL_OVERS, 1.0, {"provider": route.name})
            others = routes[place + 1 :]
            answer = await self._ask(route, alternative=any(other.in_service for other in others))
            if answer is not None:
                return answer
        if self._shed_by is not None and self._made < self.policy.attempts_in_all:
            # Its slow start sent the call on, and nobody else could take it.
            answer = await self._ask(self._shed_by, alternative=False)
            if answer is not None:
                return answer
        if self._failure is not None:
            raise self._failure
        return await self._in_panic(routes)

    async def _ask(self, route: Route, *, alternative: bool) -> AIMessage | None:
        """Ask one provider, more than once where that is worth it; None when the next one is to be asked."""
        route.retries.requested()
        tries = 0
        try:
            with ExitStack() as place:
                self._take_place(place, route)
                while True:
                    tries += 1
                    try:
                        return await self.attempts.make(
                            route, lambda breaker: breaker.admit(alternative=alternative), place.close
                        )
                    except ModelRejectedRequest:
                        raise
                    except ModelUnavailable as away:
                        self.attempts.spans.skipped(route, away.code)
                        return None
                    except ModelError as error:
                        if self.attempts.stream.shown:
                            raise
                        self._note(route, error)
                        if not await self._again(route, error, tries, alternative=alternative):
                            return None
        except BreakerOpen as refused:
            if refused.reason == "slow_start":
                self._shed_by = self._shed_by or route
            self.attempts.spans.skipped(route, refused.reason)
            return None
        except Overloaded as full:
            self._failure = self._failure or full
            self.attempts.spans.skipped(route, full.code)
            return None

    def _take_place(self, place: ExitStack, route: Route) -> None:
        """Hold a place, until the first content, for a call that failed elsewhere; while that provider is out of service,
        this one is simply first.
        """
        if self._failed_by is not None and self._failed_by.in_service:
            place.enter_context(route.fail_overs.taken())

    def _note(self, route: Route, error: ModelError) -> None:
        logger.warning("provider %s failed before its first token: %s", route.name, error.code)
        self._made += 1
        self._failure, self._failed_by = error, route

    def _outgrown(self, route: Route) -> bool:
        """Whether the conversation was too long for a provider with at least as large a context."""
        if not isinstance(self._failure, ContextTooLong) or self._failed_by is None:
            return False
        return not route.capabilities.larger_than(self._failed_by.capabilities)

    async def _again(self, route: Route, error: ModelError, tries: int, *, alternative: bool) -> bool:
        """Wait and return True, where the same provider is worth another try."""
        policy, late = self.policy, isinstance(error, ModelTimeout)
        if tries >= policy.attempts_per_provider or self._made >= policy.attempts_in_all:
            return False
        # What was waited for in vain is asked for again only where nobody else could answer.
        if not isinstance(error, REPEATABLE) and (alternative or not late):
            return False
        if not route.in_service:
            return False
        delay_s = max(backoff_s(tries, policy, self.random), route.breaker.retry_after_s, error.retry_after_s or 0.0)
        # Where somebody else can answer at once, nothing longer than the first jitter is worth waiting for.
        longest_s = policy.base_s if alternative else policy.max_s
        if delay_s > longest_s or delay_s >= self.attempts.deadline.remaining_s():
            return False
        if not route.retries.spend(timeout=late):
            return False
        self.attempts.meter.record(MODEL_RETRIES, 1.0, {"provider": route.name})
        await self.sleep(delay_s)
        return True

    async def _in_panic(self, routes: Sequence[Route]) -> AIMessage:
        """Every breaker is open. One call a second is let through all the same, for breakers can be wrong; the others wait."""

        def admit(breaker: Breaker) -> Permit | None:
            return breaker.admit_in_panic()

        for route in routes:
            try:
                return await self.attempts.make(route, admit)
            except (ModelUnavailable, Overloaded):
                continue
        wait_s = min(route.breaker.retry_after_s for route in routes)
        raise ModelUnavailable(
            "No model provider is in service at the moment. Try again later.",
            retry_after_s=max(MIN_RETRY_AFTER_S, wait_s),
        )
