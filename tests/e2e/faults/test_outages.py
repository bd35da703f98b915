"""Providers that are ill, or throttle us, all at once: no failure looks like an answer, and few calls are wasted."""

import asyncio
from itertools import pairwise

import httpx

from benchmarks.upstream import Directive
from tests.e2e.faults.conftest import (
    HEALTHY,
    Site,
    earn_retries,
    heal,
    states,
    until_all_go_to_the_first,
    until_state,
)
from tests.e2e.faults.looking import View, look, record_of
from tests.e2e.faults.rows import Part, Row, proves

WORKERS = 5
STORM = 200

MOST_ATTEMPTS = 50
"""Of the 200, at either provider, before and while its breaker is open."""

OUTAGE = Directive(fault="status_503")


async def storm(client: httpx.AsyncClient) -> list[View]:
    """Two hundred questions, five at a time."""

    async def ask() -> list[View]:
        return [await look(client, "hello") for _ in range(STORM // WORKERS)]

    return [view for views in await asyncio.gather(*(ask() for _ in range(WORKERS))) for view in views]


@proves(
    Row(
        part=Part.PROVIDERS,
        rows="15",
        fault="both are throttled for a moment",
        client="a whole answer, after the wait that the last one asked for",
        record="completed",
        breaker="closed",
        attempts="1, and 2 of the last",
    )
)
async def test_both_throttle_for_a_moment(site: Site, client: httpx.AsyncClient) -> None:
    """With nobody else to ask, a short Retry-After is waited for."""
    await earn_retries(site, client)
    await heal(site, client)
    site.primary.default = site.secondary.default = Directive(fault="status_429", times=1)
    view = await look(client, "worth a moment's wait")
    assert view.answered
    assert (await record_of(client, view.run_id))["status"] == "completed"
    assert (site.primary.seen.received, site.secondary.seen.received) == (1, 2)
    assert (await states(client))["primary"] == (await states(client))["secondary"] == "closed"


@proves(
    Row(
        part=Part.PROVIDERS,
        rows="14, 26",
        fault="both answer 500 or 503 for a while",
        client="502 `model_server_error`, or 503 `model_unavailable` with Retry-After; as an event where the stream has begun",
        record="failed, with that code",
        breaker="open",
        attempts="50 at most, of 200 questions",
    )
)
async def test_both_fail(site: Site, client: httpx.AsyncClient) -> None:
    """A storm meets two dead providers: every client is told so, few calls get through, and healing is noticed."""
    site.primary.default = site.secondary.default = OUTAGE
    views = await storm(client)
    assert not any(view.answered for view in views)
    told = {(view.status, view.code) for view in views}
    assert told <= {
        (502, "model_server_error"),
        (200, "model_server_error"),
        (503, "model_unavailable"),
        (200, "model_unavailable"),
    }
    assert all(view.error["retry_after_s"] >= 1.0 for view in views if view.code == "model_unavailable")
    for view in views:
        if view.run_id is not None:
            run = await record_of(client, view.run_id)
            assert (run["status"], run["error"]["code"]) == ("failed", view.code)
    for name, upstream in (("primary", site.primary), ("secondary", site.secondary)):
        assert upstream.seen.received <= MOST_ATTEMPTS
        await until_state(client, name, "open")
    site.primary.default = site.secondary.default = HEALTHY
    await until_all_go_to_the_first(site, client)


@proves(
    Row(
        part=Part.PROVIDERS,
        rows="14, 26",
        fault="the first answers 500 or 503 for a while",
        client="a whole answer",
        record="completed",
        breaker="open",
        attempts="50 at most, of 200 questions; then 1 of the next",
    )
)
async def test_the_first_fails(site: Site, client: httpx.AsyncClient) -> None:
    """A storm meets one dead provider: every client is answered by the other, until the first one is healed."""
    site.primary.default = OUTAGE
    views = await storm(client)
    assert all(view.answered for view in views)
    assert {(await record_of(client, view.run_id))["status"] for view in views[:: STORM // 10]} == {"completed"}
    assert site.primary.seen.received <= MOST_ATTEMPTS
    assert site.secondary.seen.received == STORM
    await until_state(client, "primary", "open")
    site.primary.default = HEALTHY
    await until_all_go_to_the_first(site, client)


@proves(
    Row(
        part=Part.PROVIDERS,
        rows="15",
        fault="both are throttled",
        client="503 `model_throttled` or `model_unavailable` with Retry-After; as an event where the stream has begun",
        record="failed, with that code",
        breaker="closed",
        attempts="none before the second is over that each asks for",
    )
)
async def test_both_throttle(site: Site, client: httpx.AsyncClient) -> None:
    """Twenty questions while both throttle: all are told when to come back, and the providers are left alone till then."""
    site.primary.default = site.secondary.default = Directive(fault="status_429")
    views = [await look(client, "hello") for _ in range(20)]
    assert {(view.status, view.code) for view in views} <= {
        (503, "model_throttled"),
        (200, "model_throttled"),
        (503, "model_unavailable"),
    }
    assert all(view.error["retry_after_s"] >= 1.0 and view.error["next"] == "wait" for view in views)
    for upstream in (site.primary, site.secondary):
        came = [request.received_s for request in upstream.seen.requests]
        assert all(later - earlier >= 1.0 for earlier, later in pairwise(came))
    assert (await states(client))["primary"] == (await states(client))["secondary"] == "closed"


@proves(
    Row(
        part=Part.PROVIDERS,
        rows="15",
        fault="our quota with both is used up",
        client="502 `model_quota_exhausted`: no request helps; as an event where the stream has begun",
        record="failed, with that code",
        breaker="open",
        attempts="1",
    )
)
async def test_both_quotas_are_used_up(site: Site, client: httpx.AsyncClient) -> None:
    """What no retry cures is not tried again, and the client is told that nothing it can do helps."""
    site.primary.default = site.secondary.default = Directive(fault="quota")
    view = await look(client, "hello")
    assert view.status in (502, 200)  # an event where the stream has begun
    assert (view.code, view.error["next"]) == ("model_quota_exhausted", "none")
    assert (site.primary.seen.received, site.secondary.seen.received) == (1, 1)
    await until_state(client, "primary", "open")
    await until_state(client, "secondary", "open")
