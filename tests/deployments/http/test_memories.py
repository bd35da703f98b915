"""What a user can read and erase of what agents remember."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware

from deployments.http.access import Access
from deployments.http.failures import on_mainstay_error, on_validation_error
from deployments.http.memories import memories_router
from deployments.http.request_id import RequestId
from services.errors import MainstayError
from services.memories import MAX_QUERY_CHARS
from services.storage.memories_in_memory import InMemoryMemories
from tests.deployments.http.fakes import AUTH, OTHER_KEY, FixedAuthenticator
from tests.services.security.records import Witness

OTHER = {"authorization": f"Bearer {OTHER_KEY}"}
UNKNOWN = UUID(int=404)


class Remembering:
    """The routes behind keys, as in the application, and what is remembered of the user whose key its client has."""

    def __init__(self) -> None:
        self.memories = InMemoryMemories()
        self.store = self.memories.of("acme", "ada")
        self.app = FastAPI(
            middleware=[
                Middleware(RequestId, new_id=uuid4),
                Middleware(Access, authenticator=FixedAuthenticator(), watch=Witness()),
            ],
            exception_handlers={MainstayError: on_mainstay_error, RequestValidationError: on_validation_error},
        )
        self.app.include_router(memories_router(self.memories))

    def client(self, headers: Mapping[str, str] = AUTH) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url="http://mainstay", headers=headers
        )


@pytest.fixture
async def remembering() -> Remembering:
    """Three memories, the last written one first in this order: tea, car, dog."""
    made = Remembering()
    await made.store.aput(("notes",), "dog", {"text": "The dog is called Rex"})
    await made.store.aput(("facts", "things"), "car", {"text": "Drives a Volvo", "year": 1999}, ttl=60)
    await made.store.aput(("notes", "drinks"), "tea", {"text": "Likes tea"})
    return made


async def keys(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/memories", params=params)
    assert answer.status_code == 200, answer.text
    return [memory["key"] for memory in answer.json()["memories"]]


async def test_a_memory_is_shown_whole(remembering: Remembering) -> None:
    """Its place, its value, and its times; a namespace is its labels with dots between."""
    async with remembering.client() as client:
        [car] = (await client.get("/memories", params={"namespace": "facts"})).json()["memories"]
    assert (car["namespace"], car["key"], car["value"]) == (
        "facts.things",
        "car",
        {"text": "Drives a Volvo", "year": 1999},
    )
    assert set(car) == {"id", "namespace", "key", "value", "created_at", "updated_at", "expires_at"}
    assert car["created_at"] < car["expires_at"]


async def test_they_are_listed_page_by_page(remembering: Remembering) -> None:
    """The last written first; `next_after` leads from page to page and is null on the last."""
    async with remembering.client() as client:
        first = (await client.get("/memories?limit=2")).json()
        second = (await client.get("/memories", params={"limit": 2, "after": first["next_after"]})).json()
    assert [memory["key"] for memory in first["memories"]] == ["tea", "car"]
    assert [memory["key"] for memory in second["memories"]] == ["dog"]
    assert second["next_after"] is None


async def test_they_can_be_searched(remembering: Remembering) -> None:
    """By words, within a namespace, best first; there are no further pages of that."""
    async with remembering.client() as client:
        assert await keys(client, query="What is the dog called?") == ["dog"]
        assert await keys(client, query="tea dog", namespace="notes.drinks") == ["tea"]
        assert await keys(client, namespace="notes") == ["tea", "dog"]
        assert await keys(client, query="", limit=1) == ["tea"]
        answer = (await client.get("/memories?query=tea&limit=1")).json()
    assert answer["next_after"] is None


async def test_they_can_be_erased(remembering: Remembering) -> None:
    """One, all of a namespace, or all; each is a 204 without a body, and what is erased is gone."""
    async with remembering.client() as client:
        [tea, *_] = (await client.get("/memories")).json()["memories"]
        one = await client.delete(f"/memories/{tea['id']}")
        again = await client.delete(f"/memories/{tea['id']}")
        assert await keys(client) == ["car", "dog"]
        some = await client.delete("/memories?namespace=facts")
        assert await keys(client) == ["dog"]
        everything = await client.delete("/memories")
        assert await keys(client) == []
    assert [answer.status_code for answer in (one, some, everything)] == [204] * 3
    assert [answer.content for answer in (one, some, everything)] == [b""] * 3
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")


async def test_another_users_memories_do_not_exist(remembering: Remembering) -> None:
    """Another principal sees none, erases none, and cannot tell one that is there from one that is not."""
    async with remembering.client() as client:
        [tea, *_] = (await client.get("/memories")).json()["memories"]
        theirs = await client.delete(f"/memories/{tea['id']}", headers=OTHER)
        absent = await client.delete(f"/memories/{(unknown := uuid4())}", headers=OTHER)
        assert (await client.get("/memories", headers=OTHER)).json() == {"memories": [], "next_after": None}
        assert (await client.get("/memories?query=tea", headers=OTHER)).json()["memories"] == []
        assert (await client.get(f"/memories?after={tea['id']}", headers=OTHER)).json()["memories"] == []
        assert (await client.delete("/memories", headers=OTHER)).status_code == 204
        assert await keys(client) == ["tea", "car", "dog"]
    bodies = [answer.json()["error"] for answer in (theirs, absent)]
    for body in bodies:
        body.pop("request_id")
    assert theirs.status_code == absent.status_code == 404
    assert bodies[0] == {**bodies[1], "message": bodies[1]["message"].replace(str(unknown), tea["id"])}


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("GET", "/memories?limit=0", "limit"),
        ("GET", "/memories?limit=101", "limit"),
        ("GET", "/memories?after=x", "after"),
        ("GET", f"/memories?query=a&after={UNKNOWN}", "after"),
        ("GET", f"/memories?query={'a' * (MAX_QUERY_CHARS + 1)}", "query"),
        ("GET", "/memories?query=a%00b", "query"),
        ("GET", "/memories?namespace=", "namespace"),
        ("GET", "/memories?namespace=a..b", "namespace"),
        ("GET", f"/memories?namespace={'a' * 600}", "namespace"),
        ("DELETE", "/memories?namespace=", "namespace"),
        ("DELETE", "/memories?namespace=notes.", "namespace"),
        ("DELETE", "/memories?namespaces=notes", "namespaces"),
        ("DELETE", "/memories?key=dog", "key"),
        ("DELETE", "/memories/x", "memory_id"),
    ],
)
async def test_what_cannot_be_meant_is_refused(remembering: Remembering, method: str, path: str, param: str) -> None:
    """Each is a 400 that names the parameter, and nothing is erased."""
    async with remembering.client() as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
        assert len(await keys(client)) == 3


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/memories"), ("DELETE", "/memories"), ("DELETE", f"/memories/{UNKNOWN}")]
)
async def test_a_key_is_needed(remembering: Remembering, method: str, path: str) -> None:
    """Without one every route is a 401."""
    async with remembering.client(headers={}) as client:
        assert (await client.request(method, path)).status_code == 401
