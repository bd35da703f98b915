"""Webhooks: when a run has ended, the URL that its client gave is told, until it listens or all attempts are used up.

A row of the outbox becomes due in the statement that ends its run, so an end and its webhook are stored together or not at
all. Any replica may deliver it, at least once: whoever dies between the receiver's yes and its record has it delivered again.
"""

import asyncio
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from services.errors import ConfigurationError, StoreUnavailable, UnsupportedParameter
from services.resilience.retry import RetryPolicy, backoff_s
from services.runs.webhook_message import WebhookSigner, message_body, message_id
from services.runs.webhook_post import Post, Posted
from services.security.addresses import AddressPolicy, host_of
from services.types import Run

logger = logging.getLogger(__name__)

PARAM = "webhook_url"
CLAIM_MARGIN_S = 30.0
"""How much longer than an attempt may take it stays ours: for the record of what came of it."""

_OURS = Posted(problem="an error of ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWebhook:
    """A message to deliver: how `run` ended (its input is not there), and the number of this attempt, from 1."""

    run: Run
    url: str = field(repr=False)
    attempt: int


class WebhookOutbox(Protocol):
    """Where webhooks wait. Every method is one statement and raises StoreUnavailable."""

    async def take(self, *, limit: int, claim_s: float, without: Collection[str] = ()) -> Sequence[DueWebhook]:
        """Begin an attempt at webhooks that are due, those that have been for longest first, but of tenants in `without`.

        Several replicas may do so at once: each webhook goes to one of them, and is due again after `claim_s` unless it was
        said by then what became of it.
        """
        ...

    async def delivered(self, due: DueWebhook) -> None:
        """Record that the receiver has taken it, and have it never due again."""
        ...

    async def failed(self, due: DueWebhook, problem: str, *, retry_in_s: float | None) -> None:
        """Record why the attempt failed; the next is due in so many seconds, or there is none with None.

        Nothing is recorded once another attempt has begun, or the message was delivered.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPolicy:
    """How webhooks are delivered by one replica. Times are seconds. Raises ConfigurationError for what cannot work.

    After attempt n it waits from 0 to min(retry_max_s, retry_base_s * 2**(n-1)), full jitter: as it stands one hour at most
    from the first attempt to the last, and half an hour on average. `concurrency` bounds the attempts at once; a tenant that
    has `per_tenant` of them gets no more, so that a receiver that lets us wait holds up its own tenant's messages alone. It
    looks every `poll_s`.
    """

    attempts: int = 6
    retry_base_s: float = 120.0
    retry_max_s: float = 3_600.0
    timeout_s: float = 10.0
    concurrency: int = 32
    per_tenant: int = 8
    poll_s: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"webhooks.{name} must be more than 0.", param=f"webhooks.{name}")


def check_url(url: str, policy: AddressPolicy | None) -> None:
    """Raise InvalidRequest for a URL that no webhook may go to, whatever it is without a policy: then there are none."""
    if policy is None:
        raise UnsupportedParameter("Webhooks are not configured here: the operator has set no secret.", param=PARAM)
    policy.check(url, param=PARAM)


class WebhookSender:
    """Delivers what is due. One per replica, and as many replicas as there are.

    `reported` is told what came of each attempt: `delivered`, `retried` or `given_up`.
    """

    def __init__(
        self,
        outbox: WebhookOutbox,
        post: Post,
        signer: WebhookSigner,
        policy: WebhookPolicy = WebhookPolicy(),
        *,
        reported: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._post = post
        self._signer = signer
        self._policy = policy
        self._retry = RetryPolicy(base_s=policy.retry_base_s, max_s=policy.retry_max_s)
        self._reported = reported
        self._now = now
        self._random = random
        self._sleep = sleep
        self._at_work: dict[asyncio.Task[None], str] = {}

    async def forever(self) -> NoReturn:
        """Deliver what is due, and look again every `poll_s`, whatever an attempt or the store does."""
        while True:
            held_up = self._held_up()
            due = await self._take(held_up)
            for webhook in due:
                self._begin(webhook)
            if not due and self._held_up() == held_up:
                await self._pause(held_up)

    async def close(self) -> None:
        """Wait for the attempts that have begun, which takes `timeout_s` and the time of a statement at most."""
        if self._at_work:
            await asyncio.wait(self._at_work)

    def _held_up(self) -> frozenset[str]:
        """Return the tenants that get no more attempts until one of theirs has ended."""
        counts = Counter(self._at_work.values())
        full = len(self._at_work) >= self._policy.concurrency
        return frozenset(tenant for tenant, count in counts.items() if full or count >= self._policy.per_tenant)

    async def _take(self, held_up: Collection[str]) -> Sequence[DueWebhook]:
        room = self._policy.concurrency - len(self._at_work)
        if room <= 0:
            return ()
        counts = Counter(tenant for tenant in self._at_work.values() if tenant not in held_up)
        # All that is due may be one tenant's: no more at a time than any of them still may have.
        limit = min(room, self._policy.per_tenant - max(counts.values(), default=0))
        taking = self._outbox.take(limit=limit, claim_s=self._policy.timeout_s + CLAIM_MARGIN_S, without=held_up)
        # gather makes whatever it raises a value: an error that ended this loop would go unseen.
        [due] = await asyncio.gather(taking, return_exceptions=True)
        if isinstance(due, StoreUnavailable):
            logger.warning("webhooks have to wait: the database cannot be reached")
            return ()
        if isinstance(due, BaseException):
            logger.error("webhooks that are due cannot be read: %s", _where(due))
            return ()
        return due

    async def _pause(self, held_up: Collection[str]) -> None:
        """Wait until it is time to look again, or an attempt has ended that held others up."""
        pause = asyncio.ensure_future(self._sleep(self._policy.poll_s))
        holding = {task for task, tenant in self._at_work.items() if tenant in held_up}
        try:
            await asyncio.wait({pause, *holding}, return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                await pause
        finally:
            pause.cancel()

    def _begin(self, due: DueWebhook) -> None:
        task = asyncio.create_task(self._deliver(due))
        self._at_work[task] = due.run.tenant_id
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._at_work[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what came of a webhook cannot be recorded: %s", _where(error))

    async def _deliver(self, due: DueWebhook) -> None:
        [answer] = await asyncio.gather(self._attempt(due), return_exceptions=True)
        if isinstance(answer, BaseException):
            logger.error("a webhook of run %s cannot be sent: %s", due.run.id, _where(answer))
            answer = _OURS
        try:
            await self._record(due, answer)
        except StoreUnavailable:
            logger.warning("a webhook of run %s will be sent again: the database cannot be reached", due.run.id)

    async def _attempt(self, due: DueWebhook) -> Posted:
        body = message_body(due.run)
        headers = self._signer.headers(due.run.tenant_id, message_id(due.run.id), int(self._now()), body)
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                return await self._post(due.url, headers, body)
        except TimeoutError:
            return Posted(problem=f"no answer within {self._policy.timeout_s:g} s")

    async def _record(self, due: DueWebhook, answer: Posted) -> None:
        if answer.problem is None:
            self._reported("delivered")
            await self._outbox.delivered(due)
            return
        final = answer.final or due.attempt >= self._policy.attempts
        wait_s = None if final else self._wait_s(due, answer)
        self._reported("given_up" if final else "retried")
        level = logging.WARNING if final else logging.INFO
        outlook = "given up" if wait_s is None else f"again in {wait_s:.0f} s"
        told = (due.run.id, host_of(due.url), due.attempt, answer.problem, outlook)
        logger.log(level, "webhook of run %s to %s: attempt %d: %s; %s", *told)
        await self._outbox.failed(due, answer.problem, retry_in_s=wait_s)

    def _wait_s(self, due: DueWebhook, answer: Posted) -> float:
        asked_s = min(answer.retry_after_s or 0.0, self._policy.retry_max_s)
        return max(asked_s, backoff_s(due.attempt, self._retry, self._random))


def _where(error: BaseException) -> str:
    """Return an error's type and where it was raised: its words may hold a URL, and that a token."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
