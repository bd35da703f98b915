"""Who may reach what: every route by every kind of id that it takes, for its owner and for everybody else.

The rows come from the application's own routes, so a new route with an id in its path has them, or fails.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from deployments.http.app import create_app
from services.security.permissions import Permission
from services.types import Principal
from tests.deployments.http.fakes import ADMIN_KEY, COLLEAGUES_KEY, KEY, Rig
from tests.deployments.http.route_table import ASKED
from tests.deployments.http.token_door import TokenDoor
from tests.services.security.issuer import token

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
    body = {"rotate": {}, "feedback": {"rating": "down"}}.get(path.rpartition("/")[2]) if method == "POST" else None
    return method, re.sub(r"{(\w+)}", lambda name: str(ids[name[1]]), path), body, {}


async def told(client: httpx.AsyncClient, request: Request, key: str) -> tuple[int, str]:
    """The status and the body, without what is another one in each answer."""
    method, path, body, headers = request
    response = await client.request(method, path, json=body, headers={**headers, "authorization": f"Bearer {key}"})
    error = response.json()["error"] if response.status_code >= 400 else {}
    return response.status_code, str({name: value for name, value in error.items() if name != "request_id"})


class House:
    """Ada's run, thread and memory, and a key of her tenant; and strangers, who may everything in another tenant."""

    def __init__(self) -> None:
        self.rig = Rig()
        door = TokenDoor(self.rig.authenticator, self.rig.watch)
        self.rig.app = create_app(replace(self.rig.services(), authenticator=door), self.rig.settings)
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
    """The same status and the same words, whatever the key or the token may at home; and its owner finds it as it was."""
    house, admins = House(), {"roles": ["mainstay-admins"]}
    async with house.rig.client() as client:
        await house.furnish(client)
        theirs, absent = asking(route, house.ids), asking(route, dict.fromkeys(house.ids, ABSENT))
        named = str(next((house.ids[name] for name in house.ids if name in route), house.ids["thread_id"]))
        # The second has the owner's name in another tenant, and the last one the owner's tenant in theirs.
        for stranger in (
            STRANGER,
            token(tenant="elsewhere", sub="ada", realm_access=admins),
            token(tenant="acme/elsewhere", sub="ada", realm_access=admins),
        ):
            status, words = await told(client, absent, stranger)
            assert status == 404
            assert await told(client, theirs, stranger) == (status, words.replace(str(ABSENT), named))
        status, _ = await told(client, theirs, ADMIN_KEY if "key_id" in route else KEY)
        assert status < 300


@pytest.mark.parametrize("route", PERSONAL)
async def test_a_token_of_the_owner_is_as_good_as_their_key(route: str) -> None:
    """The same name in the same tenant is the same user."""
    house = House()
    async with house.rig.client() as client:
        await house.furnish(client)
        assert (await told(client, asking(route, house.ids), token()))[0] < 300


@pytest.mark.parametrize("route", PERSONAL)
@pytest.mark.parametrize("key", [COLLEAGUES_KEY, ADMIN_KEY])
async def test_nor_may_anybody_of_the_same_tenant(route: str, key: str) -> None:
    """Threads, runs and memories are one user's; an administrator is another user."""
    house = House()
    async with house.rig.client() as client:
        await house.furnish(client)
        assert (await told(client, asking(route, house.ids), key))[0] == 404
