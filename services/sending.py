"""An outbox at work: what is due in it is sent, again and again until it is taken or its attempts are used up.

Any replica may send what is due, at least once: whoever dies between the receiver's yes and its record has it sent again. What
is in the outbox, and how one attempt at it is made, is for `Deliveries` to know: the webhooks of runs, and alerts.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Generic, NoReturn, Protocol, TypeVar

from services.errors import ConfigurationError, StoreUnavailable
from services.resilience.retry import RetryPolicy, backoff_s
from services.runs.webhook_post import Posted
from services.telemetry.tracebacks import told

logger = logging.getLogger(__name__)

CLAIM_MARGIN_S = 30.0
"""How much longer than an attempt may take it stays ours: for the record of what came of it."""

_OURS = Posted(problem="an error of ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingPolicy:
    """How one replica sends. Times are seconds. Raises ConfigurationError for what cannot work.

    After attempt n it waits from 0 to min(retry_max_s, retry_base_s * 2**(n-1)), full jitter. `concurrency` bounds the attempts
    at once. It looks every `poll_s`.
    """

    section: ClassVar[str]
    """Of the settings, for what is refused."""

    attempts: int
    retry_base_s: float
    retry_max_s: float
    timeout_s: float
    concurrency: int
    poll_s: float

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{self.section}.{name} must be more than 0.", param=f"{self.section}.{name}")


class Numbered(Protocol):
    """Something to send. `attempt` is the number of this attempt, from 1."""

    @property
    def attempt(self) -> int: ...


Due = TypeVar("Due", bound=Numbered)


class Deliveries(Protocol[Due]):
    """What waits to be sent, and the way to send it. `what` is what it is, in a word for the log."""

    @property
    def what(self) -> str: ...

    async def take(self, *, limit: int, claim_s: float, without: Collection[str]) -> Sequence[Due]:
        """Begin an attempt at what is due, but in these lanes; it is due again after `claim_s` unless it is recorded by then.

        Raises StoreUnavailable.
        """
        ...

    def lane(self, due: Due) -> str:
        """Return whom it may hold up: what is in other lanes does not wait for it."""
        ...

    def name(self, due: Due) -> str:
        """Return what it is, for the log: without a word of its URL but the host."""
        ...

    def repeat_s(self, due: Due) -> float | None:
        """Return how often it is told for as long as it lasts, whether it is taken or not; None for once."""
        ...

    async def attempt(self, due: Due) -> Posted:
        """Make one attempt. It has no time limit of its own, and raises nothing but for a bug."""
        ...

    async def delivered(self, due: Due) -> None:
        """Record that it was taken. Raises StoreUnavailable."""
        ...

    async def failed(self, due: Due, problem: str, *, retry_in_s: float | None) -> None:
        """Record why the attempt failed; the next is due in so many seconds, or there is none with None. Raises
        StoreUnavailable.
        """
        ...


class Sender(Generic[Due]):
    """Sends what is due. One per replica, and as many replicas as there are.

    A lane that has `per_lane` attempts under way gets no more, so that a receiver that lets us wait holds up its own alone.
    """

    def __init__(
        self,
        deliveries: Deliveries[Due],
        policy: SendingPolicy,
        *,
        per_lane: int,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._deliveries = deliveries
        self._policy = policy
        self._per_lane = per_lane
        self._retry = RetryPolicy(base_s=policy.retry_base_s, max_s=policy.retry_max_s)
        self._random = random
        self._sleep = sleep
        self._at_work: dict[asyncio.Task[None], str] = {}

    async def forever(self) -> NoReturn:
        """Send what is due, and look again every `poll_s`, whatever an attempt or the store does."""
        while True:
            held_up = self._held_up()
            due = await self._take(held_up)
            for one in due:
                self._begin(one)
            if not due and self._held_up() == held_up:
                await self._pause(held_up)

    async def close(self, within_s: float | None = None) -> None:
        """Wait for the attempts that have begun, which takes `timeout_s` and the time of a statement at most.

        What has not ended `within_s` is given up here, and sent again elsewhere.
        """
        if self._at_work:
            _, left = await asyncio.wait(self._at_work, timeout=within_s)
            for task in left:
                task.cancel()

    def _held_up(self) -> frozenset[str]:
        """Return the lanes that get no more attempts until one of theirs has ended."""
        counts = Counter(self._at_work.values())
        full = len(self._at_work) >= self._policy.concurrency
        return frozenset(lane for lane, count in counts.items() if full or count >= self._per_lane)

    async def _take(self, held_up: Collection[str]) -> Sequence[Due]:
        room = self._policy.concurrency - len(self._at_work)
        if room <= 0:
            return ()
        counts = Counter(lane for lane in self._at_work.values() if lane not in held_up)
        # All that is due may be in one lane: no more at a time than any of them still may have.
        limit = min(room, self._per_lane - max(counts.values(), default=0))
        taking = self._deliveries.take(limit=limit, claim_s=self._policy.timeout_s + CLAIM_MARGIN_S, without=held_up)
        # gather makes whatever it raises a value: an error that ended this loop would go unseen.
        [due] = await asyncio.gather(taking, return_exceptions=True)
        if isinstance(due, StoreUnavailable):
            logger.warning("%s have to wait: the database cannot be reached", self._deliveries.what)
            return ()
        if isinstance(due, BaseException):
            logger.error("%s that are due cannot be read: %s", self._deliveries.what, _where(due))
            return ()
        return due

    async def _pause(self, held_up: Collection[str]) -> None:
        """Wait until it is time to look again, or an attempt has ended that held others up."""
        pause = asyncio.ensure_future(self._sleep(self._policy.poll_s))
        holding = {task for task, lane in self._at_work.items() if lane in held_up}
        try:
            await asyncio.wait({pause, *holding}, return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                await pause
        finally:
            pause.cancel()

    def _begin(self, due: Due) -> None:
        task = asyncio.create_task(self._send(due))
        self._at_work[task] = self._deliveries.lane(due)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._at_work[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what came of one of the %s cannot be recorded: %s", self._deliveries.what, _where(error))

    async def _send(self, due: Due) -> None:
        [answer] = await asyncio.gather(self._attempt(due), return_exceptions=True)
        if isinstance(answer, BaseException):
            logger.error("%s cannot be sent: %s", self._deliveries.name(due), _where(answer))
            answer = _OURS
        try:
            await self._record(due, answer)
        except StoreUnavailable:
            logger.warning("%s will be sent again: the database cannot be reached", self._deliveries.name(due))

    async def _attempt(self, due: Due) -> Posted:
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                return await self._deliveries.attempt(due)
        except TimeoutError:
            return Posted(problem=f"no answer within {self._policy.timeout_s:g} s")

    async def _record(self, due: Due, answer: Posted) -> None:
        if answer.problem is None:
            await self._deliveries.delivered(due)
            return
        await self._deliveries.failed(due, answer.problem, retry_in_s=self._wait_s(due, answer))

    def _wait_s(self, due: Due, answer: Posted) -> float | None:
        """Return when the next attempt is to be made, None for never. What is told again and again is never given up."""
        repeat_s = self._deliveries.repeat_s(due)
        if repeat_s is None and (answer.final or due.attempt >= self._policy.attempts):
            return None
        wait_s = backoff_s(due.attempt, self._retry, self._random)
        asked_s = min(answer.retry_after_s or 0.0, self._policy.retry_max_s)
        return max(asked_s, wait_s if repeat_s is None else min(wait_s, repeat_s))


def outlook(attempt: int, problem: str, retry_in_s: float | None) -> str:
    """Return what came of an attempt and what is to come, for the log."""
    return f"attempt {attempt}: {problem}; " + ("given up" if retry_in_s is None else f"again in {retry_in_s:.0f} s")


def _where(error: BaseException) -> str:
    """Return what an error is and where it was raised: its words may hold a URL, and that a token."""
    return told(error, words=False)
