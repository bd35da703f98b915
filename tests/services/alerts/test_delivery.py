"""The sender of alerts: a yes, a no, nobody there, an error of ours, and a channel that keeps the other waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

import pytest

from configs.alerts import AlertSettings
from services.alerts.delivery import AlertDeliveries, AlertPolicy
from services.alerts.types import DueAlert, News
from services.errors import StoreUnavailable
from services.runs.webhook_post import Posted
from services.sending import Sender
from tests.services.alerts.values import RAISED_AT, due

NO = Posted(problem="HTTP 500")


@dataclass
class Outbox:
    """Implements `AlertOutbox`: gives what is due once, and keeps what it is told."""

    waiting: list[DueAlert | Exception]
    told: list[tuple[str, object]] = field(default_factory=list)

    async def take(self, *, channels: Sequence[str], limit: int, claim_s: float) -> Sequence[DueAlert]:
        for one in self.waiting:
            if isinstance(one, Exception):
                self.waiting.remove(one)
                raise one
        taken = [one for one in self.waiting if isinstance(one, DueAlert) and one.channel in channels][:limit]
        self.waiting = [one for one in self.waiting if one not in taken]
        return taken

    async def delivered(self, due: DueAlert, *, repeat_s: float | None) -> None:
        self.told.append(("delivered", repeat_s))

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        self.told.append((problem, retry_in_s))


@dataclass
class Channel:
    """Implements `AlertChannel`."""

    answer: Posted | Exception | None = field(default_factory=Posted)
    repeat_s: float | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, due: DueAlert) -> Posted:
        self.asked.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or await asyncio.Event().wait() or Posted()


class World:
    """A sender that has all that is due sent, and ends where it has paused `pauses` times."""

    def __init__(self, waiting: list[DueAlert | Exception], *, pauses: int = 1, **channels: Channel) -> None:
        self.outbox = Outbox(waiting)
        self.reported: list[tuple[str, str]] = []
        self.pauses = pauses
        deliveries = AlertDeliveries(self.outbox, channels, reported=lambda *what: self.reported.append(what))
        policy = AlertPolicy(timeout_s=0.02)
        self.sender = Sender(deliveries, policy, per_lane=policy.per_channel, random=lambda: 1.0, sleep=self._sleep)

    async def run(self) -> list[tuple[str, object]]:
        """Return what was recorded."""
        with pytest.raises(asyncio.CancelledError):
            await self.sender.forever()
        return self.outbox.told

    async def _sleep(self, _seconds: float) -> None:
        await self.sender.close()
        self.pauses -= 1
        if not self.pauses:
            raise asyncio.CancelledError


async def outcome(channel: Channel, waiting: DueAlert) -> tuple[str, object]:
    """What is recorded of one attempt."""
    world = World([waiting], webhook=channel)
    [told] = await world.run()
    expected = "delivered" if told[0] == "delivered" else "given_up" if told[1] is None else "retried"
    assert world.reported == [("webhook", expected)]
    return told


async def test_what_fires_is_told_again_and_its_end_is_not() -> None:
    """By a channel that repeats."""
    assert await outcome(Channel(repeat_s=60.0), due()) == ("delivered", 60.0)
    assert await outcome(Channel(repeat_s=60.0), due(news=News.RESOLVED)) == ("delivered", None)


async def test_what_ends_by_itself_is_told_once() -> None:
    """Alertmanager knows until when it holds."""
    assert await outcome(Channel(repeat_s=60.0), due(ends_at=RAISED_AT)) == ("delivered", None)


@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 5.0), (2, 10.0), (11, 1_800.0), (12, None)])
async def test_what_failed_waits_longer_each_time_and_is_given_up(attempt: int, wait_s: float | None) -> None:
    """At the most that jitter allows: 5 s, doubled up to half an hour, twelve attempts."""
    assert await outcome(Channel(NO), due(attempt=attempt)) == ("HTTP 500", wait_s)


@pytest.mark.parametrize("answer", [NO, Posted(problem="HTTP 500", final=True)])
@pytest.mark.parametrize(("attempt", "wait_s"), [(1, 5.0), (12, 60.0), (5_000, 60.0)])
async def test_what_is_told_again_and_again_is_never_given_up(answer: Posted, attempt: int, wait_s: float) -> None:
    """A receiver that was away for a day is told what still fires as soon as if it had been there."""
    assert await outcome(Channel(answer, repeat_s=60.0), due(attempt=attempt)) == ("HTTP 500", wait_s)


@pytest.mark.parametrize("told_once", [{"news": News.RESOLVED}, {"ends_at": RAISED_AT}])
async def test_what_a_channel_is_told_once_is_given_up_though_it_repeats(told_once: dict[str, News | datetime]) -> None:
    """Without another word Alertmanager takes it for over by itself."""
    assert await outcome(Channel(NO, repeat_s=60.0), due(attempt=12, **told_once)) == ("HTTP 500", None)  # type: ignore[arg-type]


async def test_a_receiver_that_wants_none_of_it_gets_no_more() -> None:
    """A webhook is told so by 410."""
    assert await outcome(Channel(Posted(problem="HTTP 410", final=True)), due()) == ("HTTP 410", None)


@pytest.mark.parametrize("repeat_s", [None, 60.0])
async def test_a_receiver_that_asks_for_time_gets_it(repeat_s: float | None) -> None:
    """Whether it is told again or not."""
    busy = Posted(problem="HTTP 429", retry_after_s=90.0)
    assert await outcome(Channel(busy, repeat_s), due()) == ("HTTP 429", 90.0)


async def test_a_channel_that_never_answers_keeps_no_other_waiting() -> None:
    """All that it is due is tried and fails; the other is told meanwhile, more than both may have attempts at once."""
    waiting = [due(channel, attempt=n) for n in range(1, 9) for channel in ("webhook", "alertmanager")]
    world = World([*waiting], webhook=Channel(None), alertmanager=Channel(repeat_s=60.0))
    told = await world.run()
    assert told[:8] == [("delivered", 60.0)] * 8
    assert [problem for problem, _ in told[8:]] == ["no answer within 0.02 s"] * 8


async def test_an_error_of_ours_is_an_attempt_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """And is logged with where it was, not with its words: they may hold a URL, and that a token."""
    assert (await outcome(Channel(KeyError("https://pager.example/in-path")), due()))[0] == "an error of ours"
    assert "KeyError" in caplog.text
    assert "test_delivery.py" in caplog.text
    assert "in-path" not in caplog.text


async def test_the_sender_outlives_its_store() -> None:
    """It pauses, and looks again."""
    assert await World([StoreUnavailable("away"), due()], pauses=2, webhook=Channel()).run() == [("delivered", None)]


async def test_what_does_not_end_in_time_is_left_to_other_replicas() -> None:
    """A replica that is to stop waits for what it has begun, but not for ever."""
    world = World([due()], webhook=(channel := Channel(None)))
    sending = asyncio.create_task(world.sender.forever())
    await channel.asked.wait()
    await world.sender.close(within_s=0.0)
    sending.cancel()
    await asyncio.wait([sending])
    assert world.outbox.told == []


def test_the_settings_say_what_the_code_does() -> None:
    """What an operator leaves out is what the policy has itself."""
    settings, policy = AlertSettings(), AlertPolicy()
    shared = {field.name for field in fields(AlertPolicy)} & set(AlertSettings.model_fields)
    assert shared == {"attempts", "retry_base_s", "retry_max_s", "timeout_s"}
    for name in shared:
        assert getattr(settings, name) == getattr(policy, name), name
