"""Who may reach what: every route by every kind of id that it takes, for its owner and for everybody else.

The rows come from the application's own routes, so a new route with an id in its path has them, or fails.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from deployments.http.app import create_app
from services.security.authenticator import Authenticator
from services.security.key_keeping import KeyRequest
from services.security.permissions import GRANTS, Permission, Role
from services.types import Principal
from tests.deployments.http.fakes import ADMIN_KEY, COLLEAGUES_KEY, KEY, NOW, PEPPER, Rig
from tests.deployments.http.route_table import ASKED
from tests.services.security.records import Witness

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}
STRANGER = "mk-who-may-everything-elsewhere"
ABSENT = UUID(int=404)

Request = tuple[str, str, Any, Mapping[str, str]]
"""Method, path, body, headers."""

IN_PATHS = [route for route in ASKED if "_id}" in route]
IN_BODIES = ["POST /chat/stream", "POST /runs", "POST /runs/wait", "POST /v1/chat/completions"]
PERSONAL = [route for route in IN_PATHS if "key_id" not in route] + IN_BODIES


def asking(route: str, ids: Mapping[str, UUID]) -> Request:
    """The request of a route for these ids: in its path, or as the thread to go on with."""
    method, path = route.split(" ")
    if route == "POST /v1/chat/completions":
        return method, path, ASK | {"model": "react"}, {"x-thread-id": str(ids["thread_id"])}
    if route in IN_BODIES:
        return method, path, ASK | {"thread_id": str(ids["thread_id"])}, {}
    body: dict[str, Any] | None = {} if route.endswith("/rotate") else None
    return method, re.sub(r"{(\w+)}", lambda name: str(ids[name[1]]), path), body, {}


async def told(client: httpx.AsyncClient, request: Request, key: str) -> tuple[int, str]:
    """The status and the body, without what is another one in each answer."""
    method, path, body, headers = request
    response = await client.request(method, path, json=body, headers={**headers, "authorization": f"Bearer {key}"})
    error = response.json()["error"] if response.status_code >= 400 else {}
    return response.status_code, str({name: value for name, value in error.items() if name != "request_id"})


class House:
    """Ada's run, thread and memory, and a key of her tenant; and a stranger, who may everything in another tenant."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.rig.authenticator.principals[STRANGER] = Principal(
            tenant_id="elsewhere", user_id="eve", permissions=frozenset(Permission)
        )
        self.ids: dict[str, UUID] = {}

    async def furnish(self, client: httpx.AsyncClient) -> None:
        done = await client.post("/chat/stream", json=ASK)
        await self.rig.memories.of("acme", "ada").aput(("notes",), "dog", {"text": "Rex"})
        [memory] = (await client.get("/memories")).json()["memories"]
        admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        key = await client.post("/admin/keys", json={"user_id": "ada"}, headers=admin)
        found = (done.headers["x-run-id"], done.headers["x-thread-id"], memory["id"], key.json()["id"])
        self.ids = dict(zip(("run_id", "thread_id", "memory_id", "key_id"), map(UUID, found), strict=True))


@pytest.mark.parametrize("route", IN_PATHS + IN_BODIES)
async def test_another_tenants_thing_is_what_an_absent_one_is(route: str) -> None:
    """The same status and the same words, whatever the key may at home; and its owner finds it as it was."""
    house = House()
    async with house.rig.client() as client:
        await house.furnish(client)
        theirs, absent = asking(route, house.ids), asking(route, dict.fromkeys(house.ids, ABSENT))
        status, words = await told(client, absent, STRANGER)
        named = str(next((house.ids[name] for name in house.ids if name in route), house.ids["thread_id"]))
        assert status == 404
        assert await told(client, theirs, STRANGER) == (status, words.replace(str(ABSENT), named))
        status, _ = await told(client, theirs, ADMIN_KEY if "key_id" in route else KEY)
        assert status < 300


@pytest.mark.parametrize("route", PERSONAL)
@pytest.mark.parametrize("key", [COLLEAGUES_KEY, ADMIN_KEY])
async def test_nor_may_anybody_of_the_same_tenant(route: str, key: str) -> None:
    """Threads, runs and memories are one user's; an administrator is another user."""
    house = House()
    async with house.rig.client() as client:
        await house.furnish(client)
        assert (await told(client, asking(route, house.ids), key))[0] == 404


async def test_keys_that_are_over_open_nothing() -> None:
    """Never made, expired and revoked: each of them is told the same by every route."""
    rig, now = Rig(), datetime.fromtimestamp(NOW, UTC)
    keys = rig.services().keys
    root = Principal(tenant_id="acme", user_id="root", permissions=GRANTS[Role.ADMIN])
    admin = KeyRequest(user_id="ada", role=Role.ADMIN)
    living, revoked = await keys.create(root, admin), await keys.create(root, admin)
    expired = await keys.create(root, replace(admin, expires_in_s=60.0))
    await keys.revoke(root, revoked.record.id)
    door = Authenticator(
        rig.store.api_keys, PEPPER, Witness(), cache_s=0.0, clock=lambda: 0.0, now=lambda: now + timedelta(seconds=60)
    )
    invented = living.plaintext[:-1] + ("a" if living.plaintext[-1] != "a" else "b")
    transport = httpx.ASGITransport(app=create_app(replace(rig.services(), authenticator=door), rig.settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://mainstay") as client:
        for route in ASKED:
            request = asking(route, {name: uuid4() for name in ("run_id", "thread_id", "memory_id", "key_id", "model")})
            over = {await told(client, request, key.plaintext) for key in (revoked, expired)}
            over.add(await told(client, request, invented))
            assert {status for status, _ in over} == {401}
            assert len(over) == 1
            assert (await told(client, request, living.plaintext))[0] != 401
