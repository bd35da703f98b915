"""Keys and the audit trail over HTTP."""

import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from configs.http import HttpSettings
from tests.deployments.http.fakes import ADMIN_KEY, Rig

ROOT = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Rig().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://mainstay", headers=ROOT) as client:
        yield client


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/admin/keys", json={"user_id": "bob", **body})
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    made: dict[str, Any] = response.json()
    return made


async def test_a_key_is_shown_once(client: httpx.AsyncClient) -> None:
    """When it is made. A list has how it begins, and the record of it not even that."""
    made = await make(client, role="operator", scopes=["runs:read"], expires_in_s=3600.0)
    key = made.pop("key")
    assert key.startswith(made["prefix"])
    assert (made["user_id"], made["role"], made["scopes"]) == ("bob", "operator", ["runs:read"])
    listed = await client.get("/admin/keys")
    assert listed.json() == {"keys": [made], "next_before": None}
    trail = await client.get("/admin/audit")
    [event] = trail.json()["events"]
    assert (event["action"], event["target"], event["user_id"]) == ("key_created", made["id"], "root")
    assert key[len(made["prefix"]) :] not in listed.text + trail.text
    assert made["prefix"] not in trail.text


async def test_a_key_is_rotated_and_revoked(client: httpx.AsyncClient) -> None:
    """The new key is shown once, the old one ends with its grace; a revoked one is marked, and stays in the list."""
    old = await make(client)
    response = await client.post(f"/admin/keys/{old['id']}/rotate", json={"grace_s": 0.0})
    assert response.status_code == 201
    new = response.json()
    assert new["key"] != old["key"]
    assert (await client.delete(f"/admin/keys/{new['id']}")).status_code == 204
    keys = {key["id"]: key for key in (await client.get("/admin/keys")).json()["keys"]}
    assert keys[old["id"]]["expires_at"] is not None
    assert keys[new["id"]]["revoked_at"] is not None
    actions = [event["action"] for event in (await client.get("/admin/audit")).json()["events"]]
    assert actions == ["key_revoked", "key_rotated", "key_created"]


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/audit"])
async def test_lists_have_pages(client: httpx.AsyncClient, path: str) -> None:
    for _ in range(3):
        await make(client)
    first = (await client.get(path, params={"limit": 2})).json()
    rest = (await client.get(path, params={"limit": 2, "before": first["next_before"]})).json()
    [name] = first.keys() - {"next_before"}
    assert (len(first[name]), len(rest[name]), rest["next_before"]) == (2, 1, None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "bob", "role": "root"}, "role"),
        ({"user_id": "bob", "scopes": ["everything"]}, "scopes"),
        ({"user_id": "bob", "scopes": "runs:read"}, "scopes"),
        ({"user_id": "bob", "scopes": []}, "scopes"),
        ({"user_id": "bob", "scopes": ["keys:manage"]}, "scopes"),
        ({"user_id": "b\u001b[2K"}, "user_id"),
        ({"user_id": "operations"}, "user_id"),
        ({"user_id": "bob", "expires_in_s": 1}, "expires_in_s"),
        ({"user_id": "bob", "tenant_id": "other"}, "tenant_id"),
    ],
)
async def test_a_wrong_request_makes_no_key(client: httpx.AsyncClient, body: dict[str, Any], param: str) -> None:
    """Nor one for another tenant."""
    response = await client.post("/admin/keys", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert (await client.get("/admin/keys")).json()["keys"] == []


async def test_a_body_has_the_bound_that_bodies_have() -> None:
    rig = Rig(settings=HttpSettings(max_body_bytes=1_024))
    async with rig.client(ROOT) as client:
        response = await client.post("/admin/keys", json={"user_id": "x" * 2_000})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


async def test_what_there_is_not_cannot_be_rotated_or_revoked(client: httpx.AsyncClient) -> None:
    absent = uuid4()
    for response in (
        await client.post(f"/admin/keys/{absent}/rotate", json={}),
        await client.delete(f"/admin/keys/{absent}"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to tell, and nothing to log."""
    sent: list[Any] = []
    news = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(news)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {ADMIN_KEY}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/admin/keys", "query_string": b"", "headers": headers}
    await Rig().app({**scope, "http_version": "1.1", "scheme": "http", "server": ("mainstay", 80)}, receive, send)
    assert sent == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
