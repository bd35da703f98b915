"""The outbox of alerts at work. A row is due from the statement that raises its alert, so neither is there without the other.

Any replica delivers, at least once: whoever dies between the receiver's yes and its record has it delivered again.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from services.alerts.types import DueAlert, News
from services.errors import StoreUnavailable
from services.resilience.retry import RetryPolicy, backoff_s
from services.runs.webhook_post import Posted

logger = logging.getLogger(__name__)

CLAIM_MARGIN_S = 30.0
"""How much longer than an attempt may take it stays ours: for the record of what came of it."""


class AlertChannel(Protocol):
    """Somewhere alerts go. What fires is told again every `repeat_s`, for as long as it does; once with None."""

    @property
    def repeat_s(self) -> float | None: ...

    async def tell(self, due: DueAlert) -> Posted:
        """Make one attempt. It has no time limit of its own, and raises nothing but for a bug."""
        ...


class AlertOutbox(Protocol):
    """Where alerts wait to be told. Every method is one statement and raises StoreUnavailable."""

    async def take(self, *, channels: Sequence[str], limit: int, claim_s: float) -> Sequence[DueAlert]:
        """Begin an attempt at what is due to these channels; it is due again after `claim_s` unless that is settled by then."""
        ...

    async def delivered(self, due: DueAlert, *, repeat_s: float | None) -> None:
        """Record that the channel knows. What still fires is due again in `repeat_s`."""
        ...

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        """Record why the attempt failed; the next is due in so many seconds, or there is none with None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """After attempt n it waits from 0 to min(retry_max_s, retry_base_s * 2**(n-1)): as it stands 80 minutes on average."""

    attempts: int = 12
    retry_base_s: float = 5.0
    retry_max_s: float = 1_800.0
    timeout_s: float = 10.0
    concurrency: int = 8
    poll_s: float = 2.0


class AlertSender:
    """Tells the channels, by name, what is due to them. `reported` hears of each attempt: channel, and `delivered`, `retried`
    or `given_up`.
    """

    def __init__(
        self,
        outbox: AlertOutbox,
        channels: Mapping[str, AlertChannel],
        policy: DeliveryPolicy = DeliveryPolicy(),
        *,
        reported: Callable[[str, str], None] = lambda _channel, _outcome: None,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._policy = policy
        self._retry = RetryPolicy(base_s=policy.retry_base_s, max_s=policy.retry_max_s)
        self._reported = reported
        self._random = random
        self._sleep = sleep

    async def forever(self) -> NoReturn:
        """Tell what is due, and look again every `poll_s`, whatever a channel or the store does."""
        while True:
            # gather makes whatever it raises a value: an error that ended this loop would go unseen.
            [told] = await asyncio.gather(self.tell_due(), return_exceptions=True)
            if isinstance(told, StoreUnavailable):
                logger.warning("alerts have to wait: the database cannot be reached")
            elif isinstance(told, BaseException):
                logger.error("alerts that are due could not be told", exc_info=told)
            if told != self._policy.concurrency:
                await self._sleep(self._policy.poll_s)

    async def tell_due(self) -> int:
        """Make an attempt at some of what is due, all of it at once; return at how much. Raises StoreUnavailable."""
        claim_s = self._policy.timeout_s + CLAIM_MARGIN_S
        due = await self._outbox.take(channels=tuple(self._channels), limit=self._policy.concurrency, claim_s=claim_s)
        ends = await asyncio.gather(*map(self._tell, due), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        if failures:
            raise failures[0]
        return len(due)

    async def _tell(self, due: DueAlert) -> None:
        channel = self._channels[due.channel]
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                [answer] = await asyncio.gather(channel.tell(due), return_exceptions=True)
        except TimeoutError:
            answer = Posted(problem=f"no answer within {self._policy.timeout_s:g} s")
        if isinstance(answer, BaseException):
            logger.error("alert %s cannot be told to %s", due.alert.id, due.channel, exc_info=answer)
            answer = Posted(problem="an error of ours")
        await self._record(due, channel, answer)

    async def _record(self, due: DueAlert, channel: AlertChannel, answer: Posted) -> None:
        if answer.problem is None:
            self._reported(due.channel, "delivered")
            repeats = due.news is News.FIRING and due.ends_at is None
            await self._outbox.delivered(due, repeat_s=channel.repeat_s if repeats else None)
            return
        final = answer.final or due.attempt >= self._policy.attempts
        wait_s = None if final else self._wait_s(due, answer)
        self._reported(due.channel, "given_up" if final else "retried")
        outlook = "given up" if wait_s is None else f"again in {wait_s:.0f} s"
        logger.warning(
            "alert %s (%s) to %s: attempt %d: %s; %s",
            due.alert.id,
            due.alert.kind,
            due.channel,
            due.attempt,
            answer.problem,
            outlook,
        )
        await self._outbox.failed(due, answer.problem, retry_in_s=wait_s)

    def _wait_s(self, due: DueAlert, answer: Posted) -> float:
        asked_s = min(answer.retry_after_s or 0.0, self._policy.retry_max_s)
        return max(asked_s, backoff_s(due.attempt, self._retry, self._random))
