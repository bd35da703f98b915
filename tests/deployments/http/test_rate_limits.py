"""Limits over HTTP: the status, when to come back, and how much is left."""

import pytest

from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.quota import Quota
from tests.deployments.http.fakes import ADMIN_KEY, COLLEAGUES_KEY, KEY, OTHER_KEY, Rig
from tests.services.storage.conftest import a_run

ASK = {"model": "react", "messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 100}


def limited(**user: object) -> Rig:
    return Rig(plans=Plans(default=Plan(user=Allowance(**user))))  # type: ignore[arg-type]


def requests(**limits: int) -> Rig:
    return limited(requests={RouteClass(name): Quota(limit=limit) for name, limit in limits.items()})


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_caller_without_limits_gets_no_headers_of_them() -> None:
    async with Rig().client() as client:
        answer = await client.get("/threads")
    assert answer.status_code == 200
    assert not [name for name in answer.headers if "ratelimit" in name]


async def test_who_has_used_it_up_is_told_when_to_come_back() -> None:
    rig = requests(reads=2)
    async with rig.client() as client:
        answers = [await client.get("/threads") for _ in range(3)]
        refused = answers[-1]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        error = refused.json()["error"]
        assert (error["code"], error["retryable"]) == ("rate_limit_exceeded", True)
        assert "2 requests in 60 seconds" in error["message"]
        assert refused.headers["retry-after"] == "30"
        assert refused.headers["x-should-retry"] == "true"
        rig.time.advance(30.0)
        assert (await client.get("/threads")).status_code == 200


async def test_the_headers_say_how_much_is_left_and_when_it_is_whole_again() -> None:
    rig = Rig(
        plans=Plans(
            default=Plan(
                user=Allowance(requests={RouteClass.RUNS: Quota(limit=6)}, tokens=Quota(limit=1_000)),
                tenant=Allowance(requests={RouteClass.RUNS: Quota(limit=600)}),
            )
        )
    )
    async with rig.client() as client:
        answer = await client.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == (
        '"user-requests";q=6;w=60, "tenant-requests";q=600;w=60, "user-tokens";q=1000;w=60'
    )
    assert (
        answer.headers["ratelimit"] == '"user-requests";r=5;t=10, "tenant-requests";r=599;t=0, "user-tokens";r=800;t=12'
    )
    assert answer.headers["x-ratelimit-limit-requests"] == "6"
    assert answer.headers["x-ratelimit-remaining-requests"] == "5"
    assert answer.headers["x-ratelimit-reset-requests"] == "10.000s"
    assert answer.headers["x-ratelimit-limit-tokens"] == "1000"
    assert answer.headers["x-ratelimit-remaining-tokens"] == "800"
    assert answer.headers["x-ratelimit-reset-tokens"] == "12.000s"


@pytest.mark.parametrize("path", ["/chat/stream", "/v1/chat/completions", "/runs", "/runs/wait"])
async def test_every_way_to_start_a_run_is_under_one_limit(path: str) -> None:
    """And it is no other one's: a caller who may start no more can still read what was said."""
    rig = requests(runs=1, reads=1)
    body = ASK if path.startswith("/v1") else {"messages": [{"role": "user", "content": "hello"}]}
    async with rig.client() as client:
        first = await client.post(path, json=body)
        second = await client.post("/v1/chat/completions", json=ASK)
        assert (first.status_code, second.status_code) == (202 if path == "/runs" else 200, 429)
        assert (await client.get("/threads")).status_code == 200
    assert len(rig.all_runs) == 1


async def test_bodies_that_are_not_understood_are_charged_too() -> None:
    """A flood of them would cost the ingress as much as any."""
    async with requests(runs=2).client() as client:
        answers = [
            await client.post("/chat/stream", content=b"?"),
            await client.post("/v1/chat/completions", json=ASK),
            await client.post("/chat/stream", content=b"?"),
        ]
    assert [answer.status_code for answer in answers] == [415, 200, 429]


@pytest.mark.parametrize(
    ("route", "method", "path", "other"),
    [
        (RouteClass.READS, "GET", "/v1/models", "/admin/keys"),
        (RouteClass.READS, "GET", "/openapi.json", "/admin/keys"),
        (RouteClass.WRITES, "DELETE", "/memories", "/memories"),
        (RouteClass.ADMIN, "GET", "/admin/keys", "/memories"),
    ],
)
async def test_each_kind_of_request_has_its_quota(route: RouteClass, method: str, path: str, other: str) -> None:
    async with requests(**{route.value: 1}).client(bearer(ADMIN_KEY)) as client:
        answers = [await client.request(method, path) for _ in range(2)]
        assert [answer.status_code == 429 for answer in answers] == [False, True]
        assert (await client.get(other)).status_code == 200


async def test_health_is_never_limited() -> None:
    async with requests(reads=1).client({}) as client:
        answers = [await client.get("/healthz") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


async def test_one_callers_flood_is_nobody_elses() -> None:
    rig = requests(reads=1)
    for key in (KEY, COLLEAGUES_KEY, OTHER_KEY):
        async with rig.client(bearer(key)) as client:
            assert [(await client.get("/threads")).status_code for _ in range(2)] == [200, 429]


async def test_runs_at_once_are_bounded_and_an_end_makes_room() -> None:
    rig = limited(concurrent_runs=1)
    at_work = a_run(principal=rig.authenticator.principals[KEY])
    await rig.limiter.admit(at_work)
    async with rig.client() as client:
        refused = await client.post("/v1/chat/completions", json=ASK)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
        assert (refused.headers["x-should-retry"], refused.headers["retry-after"]) == ("true", "1")
        await rig.limiter.idle(at_work)
        assert (await client.post("/v1/chat/completions", json=ASK)).status_code == 200
