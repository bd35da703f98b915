"""Rates and runs at once, as an ingress replica holds its callers to them.

Every request is first charged to the replica's own view of the caller's buckets, which no store is asked for: a flood costs a
replica that has seen it some microseconds a request. What passes is charged in the shared store, and what that says becomes
the replica's view. While the store cannot be reached each replica gives out a share of every quota by itself: it fails to
less, never to everything.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from services.errors import ConcurrencyLimitExceeded, RateLimitExceeded, StoreUnavailable
from services.limits.in_memory import MemoryQuotas, MemoryRates
from services.limits.plans import (
    Limit,
    Plans,
    RouteClass,
    Scope,
    request_limits,
    run_slots,
    token_bills,
    token_limits,
)
from services.limits.quota import Charge, Quota, Reading, Taken
from services.limits.stores import NOBODY, Admitted, QuotaStore, Slots
from services.llm.capability import CHARS_PER_TOKEN
from services.telemetry.metrics import LIMIT_ADMISSIONS, LIMIT_REFUSALS, Meter
from services.types import Principal, Run

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

RENEW_EVERY_S = 5.0
FULL_RETRY_S = 1.0
"""When to come back where all slots are held: nobody knows when one of those runs ends."""
FULL_FOR_S = 0.25
"""How long a replica takes the store's word for it that all slots are held, and asks no more: long enough for a flood to cost
the store nothing, and over before whoever was refused comes back."""
MAX_FULL = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterPolicy:
    """`share_when_away` of each quota is what one replica gives out while the store is away: one part of as many as there
    are replicas. `expected_output_tokens` is what an answer is taken for, as long as nobody knows and its client sets no limit.
    """

    share_when_away: float = 0.125
    expected_output_tokens: int = 512


class Limiter:
    """One per ingress replica. `plans` may be replaced at any time: what was taken stays taken."""

    def __init__(
        self,
        *,
        store: QuotaStore,
        plans: Plans,
        policy: LimiterPolicy,
        clock: Callable[[], float],
        meter: Meter,
    ) -> None:
        self.plans = plans
        self._store = store
        self._policy = policy
        self._meter = meter
        self._seen = MemoryRates(clock)
        self._alone = MemoryQuotas(clock)
        self._clock = clock
        self._full_until: OrderedDict[bytes, float] = OrderedDict()

    def check_flood(self, principal: Principal, route: RouteClass) -> None:
        """Charge a request to this replica's own view, which says no only where the store would. Raises RateLimitExceeded."""
        limits = request_limits(self.plans.of(principal.tenant_id), principal, route)
        self._judge(limits, self._seen.take_now([limit.charge for limit in limits]), "local")

    async def take_request(self, principal: Principal, route: RouteClass) -> None:
        """Charge a request. Raises RateLimitExceeded."""
        await unbroken(self._ask(request_limits(self.plans.of(principal.tenant_id), principal, route)))

    async def charge_request(self, principal: Principal, route: RouteClass) -> None:
        """Charge a request that was made already, and came to nothing."""
        limits = request_limits(self.plans.of(principal.tenant_id), principal, route)
        if not limits:
            return
        try:
            await unbroken(self._store.settle([limit.charge for limit in limits]))
        except StoreUnavailable as error:
            logger.warning("a request that came to nothing could not be charged: %s", error)

    async def admit(self, run: Run) -> None:
        """Charge a run with its request and the tokens that it is expected to need, and have it hold its slots.

        Whoever looks after the run renews them every RENEW_EVERY_S and releases them at its end. Raises RateLimitExceeded
        and ConcurrencyLimitExceeded, upon which it holds none. Whoever asks lets this come to its end, see `unbroken`, and
        calls `unused` where nobody wants the run any more.
        """
        principal = owner_of(run)
        plan = self.plans.of(run.tenant_id)
        tokens = expected_tokens(run, self._policy.expected_output_tokens)
        limits = [*request_limits(plan, principal, RouteClass.RUNS), *token_limits(plan, principal, tokens)]
        places = [] if run.background else run_slots(plan, principal)
        await self._ask(limits, places, run.id)

    async def idle(self, run: Run) -> None:
        """Release the slots of a run that is not at work. Where the store is away they come free by themselves."""
        if run.background:
            return
        for _, place in run_slots(self.plans.of(run.tenant_id), owner_of(run)):
            self._full_until.pop(place.key, None)
        await self._alone.release([run.id])
        try:
            await self._store.release([run.id])
        except StoreUnavailable as error:
            logger.warning("run %s: its slots could not be released: %s", run.id, error)

    async def unused(self, run: Run) -> None:
        """Release the slots of a run that there is not, and give back its tokens; the request was made."""
        await self.idle(run)
        expected = expected_tokens(run, self._policy.expected_output_tokens)
        bills = token_bills(self.plans.of(run.tenant_id), owner_of(run), used=0.0, expected=expected)
        if not bills:
            return
        try:
            await self._store.settle(bills)
        except StoreUnavailable as error:
            logger.warning("run %s: its tokens could not be given back: %s", run.id, error)

    def readings(self, principal: Principal, route: RouteClass) -> Sequence[tuple[Limit, Reading]]:
        """Return how this replica knows the caller's buckets to be: for headers, not for decisions."""
        plan = self.plans.of(principal.tenant_id)
        limits = request_limits(plan, principal, route)
        if route is RouteClass.RUNS:
            limits += token_limits(plan, principal, 0.0)
        read = self._seen.read([limit.charge for limit in limits])
        return list(zip(limits, read.readings, strict=True))

    async def _ask(
        self, limits: Sequence[Limit], places: Sequence[tuple[Scope, Slots]] = (), holder: UUID = NOBODY
    ) -> None:
        """Have the limits charged and the places held, both or neither. Raises what refuses."""
        if not (limits or places):
            return
        for scope, wanted in places:
            if self._full_until.get(wanted.key, 0.0) > self._clock():
                self._refuse(scope, wanted, "local")
        charges, slots = [limit.charge for limit in limits], [wanted for _, wanted in places]
        try:
            admitted, decided = await self._store.admit(charges=charges, slots=slots, holder=holder), "shared"
        except StoreUnavailable as error:
            logger.warning("the store of the limits is away, this replica gives out its share: %s", error)
            admitted, decided = await self._give_out(charges, slots, holder), "alone"
        else:
            self._learn(admitted)
        if (full := admitted.full) is not None:
            self._refuse(next(scope for scope, wanted in places if wanted.key == full.key), full, decided)
        self._judge(limits, admitted.taken, decided)
        self._meter.record(LIMIT_ADMISSIONS, 1.0, {"decided_by": decided})

    async def _give_out(self, charges: Sequence[Charge], slots: Sequence[Slots], holder: UUID) -> Admitted:
        """Ask this replica's own share. Nobody renews its slots, so they are held for a time and not for a run: better than
        none, and than refusing all.
        """
        return await self._alone.admit(
            charges=[replace(charge, quota=self._shared(charge.quota)) for charge in charges],
            slots=[replace(wanted, limit=self._share(wanted.limit)) for wanted in slots],
            holder=holder,
        )

    def _learn(self, admitted: Admitted) -> None:
        """Take the store's word for what it has said. Of what this replica said itself there is nothing to learn."""
        self._seen.learn(admitted.taken.readings)
        if admitted.full is None:
            return
        self._full_until[admitted.full.key] = self._clock() + FULL_FOR_S
        self._full_until.move_to_end(admitted.full.key)
        while len(self._full_until) > MAX_FULL:
            self._full_until.popitem(last=False)

    def _refuse(self, scope: Scope, full: Slots, decided: str) -> NoReturn:
        self._meter.record(LIMIT_REFUSALS, 1.0, {"limit": f"{scope}_concurrent_runs", "decided_by": decided})
        raise ConcurrencyLimitExceeded(
            f"{_OWNER[scope]} has {full.limit} {'run' if full.limit == 1 else 'runs'} at work, which is all that the plan "
            "allows at once. Wait for one to end, or cancel one.",
            retry_after_s=FULL_RETRY_S,
        )

    def _judge(self, limits: Sequence[Limit], taken: Taken, decided: str) -> None:
        """Raise RateLimitExceeded unless all was taken."""
        reading = taken.tightest
        if taken.admitted or reading is None:
            return
        limit = next(limit for limit in limits if limit.charge.key == reading.charge.key)
        self._meter.record(LIMIT_REFUSALS, 1.0, {"limit": f"{limit.scope}_{limit.what}", "decided_by": decided})
        quota = limit.charge.quota
        at_once = "" if quota.burst is None else f", at most {quota.burst} at once"
        raise RateLimitExceeded(
            f"{_OWNER[limit.scope]} has used up its {quota.limit} {limit.what} in {quota.window_s:g} seconds{at_once}. "
            "Try again when the header Retry-After says.",
            retry_after_s=reading.retry_after_s,
        )

    def _shared(self, quota: Quota) -> Quota:
        burst = None if quota.burst is None else self._share(quota.burst)
        return replace(quota, limit=self._share(quota.limit), burst=burst)

    def _share(self, limit: int) -> int:
        return max(1, int(limit * self._policy.share_when_away))


_OWNER = {Scope.USER: "The user", Scope.TENANT: "The tenant"}


async def unbroken(asking: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Let what is asked of a store come to its end, also when whoever asks has left: breaking it off costs a connection."""
    task = asyncio.create_task(asking)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


def owner_of(run: Run) -> Principal:
    """Return whose quotas a run is charged to."""
    return Principal(tenant_id=run.tenant_id, user_id=run.user_id)


def expected_tokens(run: Run, output_tokens: int) -> float:
    """Return what a run is taken to need before anybody knows: its own text, and one answer of at most `output_tokens`.

    A pure function of the run, so whoever settles the bill takes off what was charged without being told.
    """
    chars = sum(len(message.content) for message in run.messages)
    asked = run.options.max_output_tokens
    return chars / CHARS_PER_TOKEN + (output_tokens if asked is None else min(asked, output_tokens))
