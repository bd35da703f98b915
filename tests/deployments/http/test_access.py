"""Keys, routes, methods and parameters of the URL: who may ask, and for what."""

from uuid import UUID

import pytest

from deployments.http.access import OPEN_PATHS
from tests.deployments.http.fakes import AUTH, KEY, Rig
from tests.deployments.http.refusals import BOTH, CHAT, COMPLETIONS, GOOD, QUEUED, WAITED, check

UNKNOWN = UUID(int=404)
"""The id of nothing. Every process that shares the tests must give them the same names."""

EVERYWHERE = [
    ("POST", CHAT),
    ("POST", COMPLETIONS),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/react"),
    ("GET", "/threads"),
    ("GET", f"/threads/{UNKNOWN}"),
    ("GET", f"/threads/{UNKNOWN}/messages"),
    ("DELETE", f"/threads/{UNKNOWN}"),
    ("POST", QUEUED),
    ("POST", WAITED),
    ("GET", f"/runs/{UNKNOWN}"),
    ("GET", f"/runs/{UNKNOWN}/stream"),
    ("GET", f"/runs/{UNKNOWN}/wait"),
    ("POST", f"/runs/{UNKNOWN}/cancel"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("GET", "/healthz/"),
    ("GET", "/healthz/../threads"),
    ("OPTIONS", "/threads"),
]


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
async def test_nothing_is_shown_without_a_key(rig: Rig, method: str, path: str) -> None:
    """Every path but the probes asks for a key, also those that do not exist."""
    async with rig.client(headers={}) as client:
        response = await client.request(method, path)
    check(response, 401, "authorization", "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_every_route_of_the_application_is_closed_by_default(rig: Rig) -> None:
    """The list above, and this walk over what is really routed, both find only the probes open."""
    document = rig.app.openapi()["paths"]
    assert {CHAT, COMPLETIONS, QUEUED, WAITED, "/threads/{thread_id}/messages", "/runs/{run_id}/stream"} <= set(
        document
    )
    assert {"/healthz", "/readyz"} == OPEN_PATHS
    async with rig.client(headers={}) as client:
        for path, methods in document.items():
            for method in methods:
                assert (await client.request(method, path)).status_code == 401


WRONG_KEYS = {
    "unknown": ({"authorization": "Bearer wrong"}, ""),
    "empty": ({"authorization": "Bearer "}, ""),
    "no scheme": ({"authorization": KEY}, ""),
    "another scheme": ({"authorization": f"Basic {KEY}"}, ""),
    "endless": ({"authorization": "Bearer " + "x" * 600}, ""),
    "in the query": ({}, f"?api_key={KEY}&key={KEY}"),
    "in a cookie": ({"cookie": f"api_key={KEY}"}, ""),
    "in another header": ({"api-key": KEY}, ""),
    "two of them": ({"authorization": f"Bearer {KEY}", "x-api-key": "another"}, ""),
    "padded": ({"x-api-key": f"{KEY} x"}, ""),
    "not ASCII": ({"x-api-key": "schlüssel"}, ""),
}


@BOTH
@pytest.mark.parametrize(("headers", "query"), WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_key_that_is_wrong_or_in_the_wrong_place(
    rig: Rig, path: str, headers: dict[str, str], query: str
) -> None:
    """A key counts in two headers only, and two different keys are none."""
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    async with rig.client(headers={}) as client:
        response = await client.post(path + query, json=GOOD, headers=raw)
    check(response, 401, "authorization", "invalid_api_key")


@pytest.mark.parametrize("headers", [{"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}, AUTH | {"x-api-key": KEY}])
async def test_a_key_in_either_header_is_taken(rig: Rig, headers: dict[str, str]) -> None:
    """Bearer in any case, x-api-key, or the same key in both."""
    async with rig.client(headers=headers) as client:
        assert (await client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/chat/stream/", "/v1/chat/completions/x", "/docs", "/redoc", "/"])
async def test_an_unknown_route_is_a_404_in_our_envelope(rig: Rig, path: str) -> None:
    """With a key, what does not exist says so in the same form as everything else."""
    async with rig.client() as client:
        check(await client.get(path), 404, None, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", COMPLETIONS, "POST"),
        ("GET", QUEUED, "POST"),
        ("POST", f"/runs/{UNKNOWN}/stream", "GET"),
        ("GET", f"/runs/{UNKNOWN}/cancel", "POST"),
        ("POST", "/v1/models", "GET"),
        ("PATCH", "/threads", "GET"),
    ],
)
async def test_another_method_is_a_405_that_lists_what_is_allowed(
    rig: Rig, method: str, path: str, allowed: str
) -> None:
    """The header Allow comes with it."""
    async with rig.client() as client:
        response = await client.request(method, path)
    check(response, 405, None, "method_not_allowed")
    assert allowed in response.headers["allow"]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/threads/first", "thread_id"),
        ("/threads/first/messages", "thread_id"),
        ("/runs/first", "run_id"),
        ("/runs/first/stream", "run_id"),
        ("/runs/first/wait", "run_id"),
        ("/runs/first/cancel", "run_id"),
        (f"/runs/{UNKNOWN}/cancel?action=explode", "action"),
        (f"/runs/{UNKNOWN}/cancel?wait=long", "wait"),
        ("/threads?limit=0", "limit"),
        ("/threads?limit=many", "limit"),
        ("/threads?before=first", "before"),
        (f"/threads/{UNKNOWN}/messages?limit=1001", "limit"),
    ],
)
async def test_a_parameter_of_the_url_that_cannot_be_used(rig: Rig, path: str, param: str) -> None:
    """Path and query parameters get the same 400 as fields."""
    async with rig.client() as client:
        method = "POST" if "/cancel" in path else "GET"
        check(await client.request(method, path), 400, param, "invalid_request")
