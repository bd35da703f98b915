"""How many calls of one provider may wait for their first content at once, and who waits or goes when there are more.

A place is held from admission to the first content, not for the whole answer. The limit is learnt from the time to
first content, and Little's law (calls under way = rate x time each) holds only where the time that is measured is the
time that a place is held: a limit learnt from first tokens and held for whole streams would be too small by the
length of an answer.

Each provider has its own in each replica. Nothing is shared between providers, and replicas do not know of each
other: a provider's capacity is split by what each replica sees of it. The evaluator's replicas call with limits of
their own, so its priority counts only against other background work in the same process, not against the agents'
turns.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import DeadlineExceeded, Overloaded
from services.resilience.gradient import Gradient, GradientPolicy
from services.resilience.priority import Priority, come_back_s
from services.resilience.waiting import Waiter, WaitingLine
from services.runs.buffer import Timer, call_later
from services.runs.deadline import Deadline

GUESSED_LATENCY_S = 0.1
"""Until one is known: short, so that the first burst finds room to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy(GradientPolicy):
    """The numbers of a limit. `max_wait_s` is how long a call waits for a place at most, in seconds.

    `initial` is what an agent replica takes on at once (`max_ongoing_requests` in serve_config.yaml): a fresh one that fills up
    sends nobody away.
    """

    initial: int = 200
    max_wait_s: float = 1.0


class Slot:
    """One place. Whoever was given it releases it in `finally`: a place that nobody releases is lost for good."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: "AdaptiveLimit") -> None:
        self._limit = limit
        self._held = True

    def answered(self, latency_s: float) -> None:
        """The first content came after `latency_s` seconds: learn from it, and let the next call have the place.

        The seconds count from when the place was given, without the wait for it. Nothing happens once the place is
        given up.
        """
        if self._held:
            self._held = False
            self._limit._answered(latency_s)  # noqa: SLF001  a slot is the limit's other half

    def release(self) -> None:
        """Give the place up without a sample: the call failed, was cancelled, or has been answered already."""
        if self._held:
            self._held = False
            self._limit._freed()  # noqa: SLF001


class AdaptiveLimit:
    """The places of one provider in one replica. Belongs to one event loop; no method may be called from another thread.

    Over the limit a call waits, in the order of `WaitingLine`, for at most `max_wait_s` and never beyond its
    deadline. As many may wait as are worth `max_wait_s` of work at the recent latency, yet at least as many as there
    are places: where first content takes longer than `max_wait_s` that is more than will get their turn on average,
    but latency spreads widely, and the recent one may be an old one. When the line is full its last one goes: the
    newcomer, or somebody who would be called after it.
    """

    def __init__(
        self,
        policy: LimitPolicy = LimitPolicy(),
        *,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._call_later = call_later
        self._random = random
        self._gradient = Gradient(policy, clock)
        self._line = WaitingLine(lifo_after_s=policy.max_wait_s / 2, clock=clock)
        self._in_use = 0

    @property
    def limit(self) -> int:
        return self._gradient.limit

    @property
    def in_use(self) -> int:
        """Places held. More than `limit` only after a decrease, until so many have been given up."""
        return self._in_use

    @property
    def waiting(self) -> int:
        return self._line.count

    @property
    def overloaded(self) -> bool:
        """Whether somebody has been waiting for longer than half of `max_wait_s`."""
        return self._line.late

    async def acquire(self, priority: Priority, deadline: Deadline) -> Slot:
        """Take a place, at once when there is one.

        Raises Overloaded, with the seconds to come back after: at once when the line is full or the deadline would pass
        first, later when the wait was too long or a more important call needed the room. Raises DeadlineExceeded.
        """
        patience_s = deadline.clamp(self._policy.max_wait_s)
        # Nobody waits while there are places: each one that comes free calls the next.
        if self._in_use >= self._gradient.limit:
            await self._turn(priority, patience_s)
        else:
            self._in_use += 1
        return Slot(self)

    def decrease(self) -> None:
        """The provider answered 429: carry less. Counts once a second, however many calls it refused in it."""
        self._gradient.decrease()

    async def _turn(self, priority: Priority, patience_s: float) -> None:
        """Return holding a place."""
        self._find_room(priority, patience_s)
        waiter = self._line.join(priority)
        timer = self._call_later(patience_s, lambda: self._give_up(waiter, patience_s))
        taken = False
        try:
            refusal = await waiter.turn
            taken = refusal is None
        finally:
            timer.cancel()
            self._line.leave(waiter)
            # Called and cancelled at the same time: the place is somebody else's.
            if waiter.called and not taken:
                self._freed()
        if refusal is not None:
            raise refusal

    def _find_room(self, priority: Priority, patience_s: float) -> None:
        if patience_s < self._policy.max_wait_s and self._turn_in_s(self._line.ahead_of(priority)) > patience_s:
            raise self._refusal("The deadline would pass before there is a place for this call.")
        if self._line.count < self._room():
            return
        last = self._line.last_behind(priority)
        if last is None:
            raise self._refusal("Too many calls are waiting for this model.")
        self._line.leave(last)
        if not last.turn.done():
            last.turn.set_result(self._refusal("A call that comes first needed this one's place in the line."))

    @property
    def _latency_s(self) -> float:
        return self._gradient.latency_s or GUESSED_LATENCY_S

    def _room(self) -> int:
        limit = self._gradient.limit
        return max(limit, int(limit * self._policy.max_wait_s / self._latency_s))

    def _turn_in_s(self, ahead: int) -> float:
        """Estimate when a place comes free for somebody with so many before it."""
        needed = self._in_use - self._gradient.limit + ahead + 1
        return self._latency_s * needed / max(1, self._in_use)

    def _give_up(self, waiter: Waiter, patience_s: float) -> None:
        self._line.leave(waiter)
        if waiter.turn.done():
            return
        if patience_s < self._policy.max_wait_s:
            waiter.turn.set_result(DeadlineExceeded("The run reached its time limit while it waited for the model."))
        else:
            waiter.turn.set_result(self._refusal(f"No place for this call within {self._policy.max_wait_s:g} s."))

    def _refusal(self, text: str) -> Overloaded:
        wait_s = self._turn_in_s(self._line.count)
        return Overloaded(text, retry_after_s=come_back_s(wait_s, self._random))

    def _answered(self, latency_s: float) -> None:
        self._gradient.sample(latency_s, self._in_use)
        self._freed()

    def _freed(self) -> None:
        self._in_use -= 1
        while self._line.count and self._in_use < self._gradient.limit and self._line.call():
            self._in_use += 1
