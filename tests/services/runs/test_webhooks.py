"""Webhooks are delivered until the receiver says yes or the attempts are used up, whatever happens meanwhile."""

import asyncio
import ipaddress
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from services.errors import ConfigurationError, InvalidRequest, StoreUnavailable, UnsupportedParameter
from services.runs.webhook_message import WebhookSigner
from services.runs.webhook_post import HttpPost, Posted
from services.runs.webhooks import DueWebhook, WebhookPolicy, check_url
from services.security.addresses import AddressPolicy, guarded_session
from services.sending import CLAIM_MARGIN_S
from tests.services.runs.test_webhook_message import ENDED, SECRET, documented
from tests.services.runs.webhook_fakes import BUSY, STARTED_AT, URL, Replica, Scripted
from tests.services.security.receiver import OK, answer, receiver


async def test_an_end_is_told_once() -> None:
    """What is due is sent and recorded as delivered, and never is due again; what is not due yet is left alone."""
    post = Scripted()
    replica = Replica(post)
    row = replica.ended()
    waiting = replace(ENDED, id=uuid4())
    replica.outbox.add(waiting, URL)
    await replica.run(pauses=100)
    assert len(post.sent) == 1
    assert (row.delivered_at, row.next_at, row.problem, row.attempts) == (STARTED_AT, None, None, 1)
    assert replica.reported == ["delivered"]
    assert replica.pauses == [1.0] * 100


async def test_what_is_sent_verifies() -> None:
    """What is sent is signed for the tenant at the time of the attempt; another attempt has another time, and the same id."""
    post = Scripted([BUSY, Posted()])
    replica = Replica(post, random=0.0)
    replica.ended()
    await replica.run(pauses=3)
    (_, first, body), (_, second, _) = post.sent
    verify, secret = documented(), WebhookSigner(SECRET).secret_of("acme")
    sent_at = STARTED_AT.timestamp()
    assert verify(secret, first, body, sent_at, tolerance_s=0)
    assert verify(secret, second, body, sent_at + 1, tolerance_s=0)
    assert first["webhook-id"] == second["webhook-id"]
    assert json.loads(body)["type"] == "run.completed"


async def test_the_pauses_double_and_the_attempts_end() -> None:
    """Six attempts, at most 2, 4, 8, 16 and 32 minutes apart, and then none; the last problem stays in the row."""
    post = Scripted([BUSY])
    replica = Replica(post, jump_s=1.0)
    row = replica.ended()
    sent_at: list[float] = []
    for _ in range(3_800):
        before = len(post.sent)
        await replica.run()
        if len(post.sent) > before:
            sent_at.append((replica.at - STARTED_AT).total_seconds() - 1.0)
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    assert gaps == [120.0, 240.0, 480.0, 960.0, 1_920.0]
    assert (row.next_at, row.delivered_at, row.problem, row.attempts) == (None, None, "HTTP 503", 6)
    assert replica.reported == ["retried"] * 5 + ["given_up"]


async def test_the_pauses_have_full_jitter() -> None:
    """A pause is a random share of its bound, from none at all."""
    for share in (0.0, 0.25):
        replica = Replica(Scripted([BUSY]), random=share)
        row = replica.ended()
        await replica.run()
        assert row.next_at == STARTED_AT + timedelta(seconds=share * 120.0)


@pytest.mark.parametrize(("asked_s", "waits_s"), [(5.0, 120.0), (600.0, 600.0), (86_400.0, 3_600.0)])
async def test_a_receiver_may_ask_for_time(asked_s: float, waits_s: float) -> None:
    """Retry-After makes the pause longer, never shorter, and not endless."""
    replica = Replica(Scripted([Posted(problem="HTTP 429", retry_after_s=asked_s)]))
    row = replica.ended()
    await replica.run()
    assert row.next_at == STARTED_AT + timedelta(seconds=waits_s)


async def test_the_last_word_is_heeded() -> None:
    """410, or a URL that may not be called any more, ends it at the first attempt."""
    replica = Replica(Scripted([Posted(problem="HTTP 410", final=True)]))
    row = replica.ended()
    await replica.run()
    assert (row.next_at, row.problem, row.attempts) == (None, "HTTP 410", 1)
    assert replica.reported == ["given_up"]


async def test_silence_ends_in_time() -> None:
    """An attempt takes no longer than its time limit, whatever it waits for."""
    post = Scripted(held=asyncio.Event())
    replica = Replica(post, policy=WebhookPolicy(timeout_s=0.02))
    row = replica.ended()
    await replica.run()
    assert row.problem == "no answer within 0.02 s"
    assert post.open == 0


async def test_who_dies_before_the_record_has_it_delivered_again() -> None:
    """A replica is lost between the receiver's yes and its record: after the claim another one sends the same id."""
    post = Scripted()
    replica = Replica(post)
    row = replica.ended()
    await replica.outbox.take(limit=1, claim_s=WebhookPolicy().timeout_s + CLAIM_MARGIN_S)  # and is gone
    await replica.run(pauses=39)
    assert post.sent == []
    await replica.run(pauses=3)
    assert len(post.sent) == 1
    assert (row.attempts, row.problem, row.next_at) == (2, None, None)


async def test_a_bug_is_an_attempt_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be sent is tried as often as what is refused; it ends neither the sender nor other webhooks."""
    post = Scripted([ValueError(f"bad {URL}"), Posted()])
    replica = Replica(post)
    rows = [replica.ended(), replica.ended()]
    await replica.run()
    fine, broken = sorted(rows, key=lambda row: row.problem or "")
    assert broken.problem == "an error of ours"
    assert broken.next_at == STARTED_AT + timedelta(seconds=120)
    assert fine.delivered_at == STARTED_AT
    assert "ValueError" in caplog.text
    assert "webhook_fakes.py" in caplog.text
    assert "in-path" not in caplog.text


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), ValueError("a bug")], ids=["outage", "bug"])
@pytest.mark.parametrize("method", ["take", "delivered", "failed"])
async def test_nothing_that_the_store_raises_ends_the_sender(
    method: str, failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage costs a turn, or has a message sent again once the claim is over."""
    replica = Replica(Scripted([BUSY, Posted()] if method == "failed" else [Posted()]))
    row = replica.ended()
    works = getattr(replica.outbox, method)
    calls = 0

    async def fails_once(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise failure
        return await works(*args, **kwargs)

    monkeypatch.setattr(replica.outbox, method, fails_once)
    await replica.run(pauses=60)
    assert row.delivered_at is not None
    assert row.attempts == (1 if method == "take" else 2)
    worst = max(record.levelno for record in caplog.records)
    assert worst == (logging.WARNING if isinstance(failure, StoreUnavailable) else logging.ERROR)


async def test_a_tenant_waits_for_its_own_receivers() -> None:
    """One tenant's silent receivers take its share of the attempts, and leave the others'."""
    slow, fast = Scripted(held=asyncio.Event()), Scripted(expects=10)

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        return await (slow if "slow" in url else fast)(url, headers, body)

    replica = Replica(post, policy=WebhookPolicy(concurrency=6, per_tenant=3))
    for number in range(20):
        # Two of the first three are slow: more of them are due when their tenant has one attempt left.
        slowly = number not in (2, *range(11, 20))
        replica.ended(tenant_id="slow" if slowly else "other", url="https://slow.example/" if slowly else URL)
        replica.at += timedelta(microseconds=1)
    sending = asyncio.create_task(replica.run())
    await fast.reached.wait()
    assert slow.open == 3
    assert slow.held is not None
    slow.held.set()
    await sending
    assert all(row.delivered_at for row in replica.outbox.rows.values())
    assert (slow.most, replica.pauses) == (3, [1.0])


@pytest.mark.parametrize("tenants", [1, 12])
async def test_attempts_at_once_are_bounded(tenants: int) -> None:
    """However much is due, so many attempts are made at once, and the next begins when one ends, without a pause."""
    post = Scripted(held=asyncio.Event(), expects=4)
    replica = Replica(post, policy=WebhookPolicy(concurrency=4, per_tenant=4))
    for number in range(12):
        replica.ended(tenant_id=f"t{number % tenants}")
    sending = asyncio.create_task(replica.run())
    await post.reached.wait()
    claimed = [row.next_at for row in replica.outbox.rows.values() if row.attempts]
    assert claimed == [STARTED_AT + timedelta(seconds=WebhookPolicy().timeout_s + CLAIM_MARGIN_S)] * 4
    assert post.held is not None
    post.held.set()
    await sending
    assert post.most == 4
    assert all(row.delivered_at == STARTED_AT for row in replica.outbox.rows.values())


async def test_an_attempt_that_ends_while_the_store_answers_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant is not held up for a whole pause by attempts that ended as it was being left out."""
    replica = Replica(Scripted(), policy=WebhookPolicy(concurrency=8, per_tenant=4))
    for _ in range(12):
        replica.ended()
    take = replica.outbox.take

    async def slowly(*, limit: int, claim_s: float, without: Collection[str] = ()) -> Sequence[DueWebhook]:
        await replica.sender.close()
        return await take(limit=limit, claim_s=claim_s, without=without)

    monkeypatch.setattr(replica.outbox, "take", slowly)
    await replica.run()
    assert all(row.delivered_at == STARTED_AT for row in replica.outbox.rows.values())


@pytest.mark.parametrize("answered", [Posted(), BUSY, Posted(problem="HTTP 410", final=True), ValueError(URL)])
async def test_no_log_line_holds_a_secret(answered: Posted | Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Of a URL only the host is logged; neither our secret, a tenant's nor a signature is, at any level."""
    caplog.set_level(logging.DEBUG)
    post = Scripted([answered])
    replica = Replica(post)
    replica.ended()
    await replica.run()
    [(_, headers, _)] = post.sent
    for secret in (
        "in-path",
        "in-query",
        SECRET.removeprefix("whsec_"),
        headers["webhook-signature"].removeprefix("v1,"),
    ):
        assert secret not in caplog.text
    assert WebhookSigner(SECRET).secret_of("acme").removeprefix("whsec_") not in caplog.text
    if answered is BUSY:
        assert "hook.example" in caplog.text
    assert "in-path" not in repr(DueWebhook(run=ENDED, url=URL, attempt=1))


async def test_over_real_sockets() -> None:
    """A receiver that fails, redirects and is silent before it says yes gets one message that verifies, in four attempts."""
    async with receiver(answer("500 Oops"), answer("302 Found", "location: /elsewhere"), None, OK) as hook:
        policy = AddressPolicy(
            schemes=frozenset({"http"}),
            ports=frozenset({hook.port}),
            allow_private=(ipaddress.ip_network("127.0.0.1/32"),),
        )
        post = HttpPost(guarded_session(policy))
        replica = Replica(post, policy=WebhookPolicy(timeout_s=1.0), random=0.0)
        row = replica.ended(url=f"http://127.0.0.1:{hook.port}/hooks?token=t")
        problems: list[str | None] = []
        for _ in range(4):
            await replica.run()
            problems.append(row.problem)
        await post.aclose()
    assert problems == ["HTTP 500", "HTTP 302", "no answer within 1 s", None]
    assert row.delivered_at is not None
    verify, secret = documented(), WebhookSigner(SECRET).secret_of("acme")
    for number, request in enumerate(hook.received):
        assert request.line == "POST /hooks?token=t HTTP/1.1"
        assert verify(secret, request.headers, request.body, STARTED_AT.timestamp() + number, tolerance_s=0)
    assert len({request.headers["webhook-id"] for request in hook.received}) == 1


def test_a_url_is_refused_when_it_is_sent() -> None:
    """Without a secret there are no webhooks, whatever the URL; with one the policy decides, and the parameter is named."""
    with pytest.raises(UnsupportedParameter) as caught:
        check_url(URL, None)
    assert caught.value.param == "webhook_url"
    check_url(URL, AddressPolicy())
    with pytest.raises(InvalidRequest) as caught_too:
        check_url("https://127.0.0.1/", AddressPolicy())
    assert caught_too.value.param == "webhook_url"


@pytest.mark.parametrize("name", [field.name for field in fields(WebhookPolicy)])
def test_a_policy_that_cannot_work_is_refused(name: str) -> None:
    """Every number is more than zero, and the refusal names the key."""
    with pytest.raises(ConfigurationError, match=f"webhooks.{name}"):
        WebhookPolicy(**{name: 0})
