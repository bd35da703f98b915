"""The sender of alerts: a yes, a no, nobody there, and an error of ours."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.alerts.delivery import AlertSender, DeliveryPolicy
from services.alerts.types import DueAlert, News
from services.errors import StoreUnavailable
from services.runs.webhook_post import Posted
from tests.services.alerts.values import RAISED_AT, due


@dataclass
class Outbox:
    """Implements `AlertOutbox`: gives what is due once, and keeps what it is told."""

    waiting: list[DueAlert | Exception]
    told: list[tuple[str, object]] = field(default_factory=list)

    async def take(self, *, channels: Sequence[str], limit: int, claim_s: float) -> Sequence[DueAlert]:
        assert channels == ("webhook",)
        taken, self.waiting = self.waiting, []
        for one in taken:
            if isinstance(one, Exception):
                raise one
        return [one for one in taken if isinstance(one, DueAlert)]

    async def delivered(self, due: DueAlert, *, repeat_s: float | None) -> None:
        self.told.append(("delivered", repeat_s))

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        self.told.append((problem, retry_in_s))


@dataclass
class Channel:
    """Implements `AlertChannel`."""

    answer: Posted | Exception | None = field(default_factory=Posted)
    repeat_s: float | None = 60.0

    async def tell(self, due: DueAlert) -> Posted:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or await asyncio.Event().wait() or Posted()


async def outcome(channel: Channel, waiting: DueAlert, policy: DeliveryPolicy = DeliveryPolicy()) -> tuple[str, object]:  # noqa: B008
    """What is recorded of one attempt."""
    outbox, reported = Outbox([waiting]), []
    sender = AlertSender(
        outbox,
        {"webhook": channel},
        policy,
        reported=lambda name, what: reported.append((name, what)),
        random=lambda: 1.0,
    )
    assert await sender.tell_due() == 1
    [told] = outbox.told
    expected = "delivered" if told[0] == "delivered" else "given_up" if told[1] is None else "retried"
    assert reported == [("webhook", expected)]
    return told


async def test_what_fires_is_told_again_and_its_end_is_not() -> None:
    assert await outcome(Channel(), due()) == ("delivered", 60.0)
    assert await outcome(Channel(), due(news=News.RESOLVED)) == ("delivered", None)


async def test_what_ends_by_itself_is_told_once() -> None:
    """Alertmanager knows until when it holds."""
    assert await outcome(Channel(), due(ends_at=RAISED_AT)) == ("delivered", None)


@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 5.0), (2, 10.0), (11, 1_800.0), (12, None)])
async def test_what_failed_waits_longer_each_time_and_is_given_up(attempt: int, wait_s: float | None) -> None:
    """At the most that jitter allows: 5 s, doubled up to half an hour, twelve attempts."""
    assert await outcome(Channel(Posted(problem="HTTP 500")), due(attempt=attempt)) == ("HTTP 500", wait_s)


async def test_a_receiver_that_wants_none_of_it_gets_no_more() -> None:
    assert await outcome(Channel(Posted(problem="HTTP 410", final=True)), due()) == ("HTTP 410", None)


async def test_a_receiver_that_asks_for_time_gets_it() -> None:
    assert await outcome(Channel(Posted(problem="HTTP 429", retry_after_s=90.0)), due()) == ("HTTP 429", 90.0)


async def test_a_receiver_that_never_answers_is_no_answer() -> None:
    told = await outcome(Channel(None), due(), DeliveryPolicy(timeout_s=0.01))
    assert told[0] == "no answer within 0.01 s"


async def test_an_error_of_ours_is_an_attempt_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """And is logged with where it was."""
    assert (await outcome(Channel(KeyError("bug")), due()))[0] == "an error of ours"
    assert "KeyError" in caplog.text


async def test_the_sender_outlives_its_store() -> None:
    """It pauses, and looks again."""
    outbox, again = Outbox([StoreUnavailable("away")]), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        if outbox.told:
            again.set()
            await asyncio.Event().wait()
        outbox.waiting = [due()]

    sending = asyncio.create_task(AlertSender(outbox, {"webhook": Channel()}, sleep=sleep).forever())
    await again.wait()
    sending.cancel()
    assert outbox.told == [("delivered", 60.0)]
