"""Requests that nobody would write, generated from the OpenAPI document: none of them is answered by a 5xx."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from tests.deployments.http.fakes import ADMIN_KEY, AUTH, Rig
from tests.deployments.http.route_table import ASKED
from tests.deployments.http.test_tenancy import House

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
CONFIG = SchemathesisConfig.from_dict(
    {"seed": 1, "generation": {"deterministic": True, "mode": "all", "with-security-parameters": False}}
)
SCHEMA = schemathesis.openapi.from_dict(Rig().app.openapi(), config=CONFIG)
TOO_LONG_S = 30.0


class World:
    """An application on a loop of its own, for tests that cannot wait for anything. Any exception in it is the test's."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._house = House()
        transport = httpx.ASGITransport(app=self._house.rig.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://mainstay", headers=AUTH)

    def ids(self, path: str) -> Mapping[str, str]:
        """Make a run, its thread, a memory and a key, all of the same user but the last, where a path needs any."""
        if "_id}" not in path:
            return {"model": "react"}
        self._runner.run(self._house.furnish(self._client))
        return {name: str(value) for name, value in self._house.ids.items()} | {"model": "react"}

    def answer(self, **arguments: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with asyncio.timeout(TOO_LONG_S):
                return await self._client.request(**arguments)

        return self._runner.run(asked())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with asyncio.Runner() as runner:
        yield World(runner)


def helped(path: str, body: object, ids: Mapping[str, str]) -> tuple[str, object]:
    """Put in place what no generator finds: ids of what there is, and in a body those fields that would be refused first."""
    url = re.sub(r"{(\w+)}", lambda name: ids[name[1]], path)
    if not isinstance(body, dict):
        return url, body
    if path == "/admin/keys":
        return url, body | {"user_id": "bob", "role": "admin"}
    if path.startswith("/admin"):
        return url, body
    if path.endswith("/feedback"):
        return url, body | {"rating": "down"}
    question = {"messages": [{"role": "user", "content": "Say hello."}], "model": "react"}
    own = {} if path.startswith("/v1") else {"thread_id": None, "decisions": None, "webhook_url": None}
    return url, body | question | own


@SCHEMA.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_is_generated_is_a_5xx(case: schemathesis.Case, world: World) -> None:
    """As it is, and again with what it would be refused for put right, so that the rest of it gets to where it is used."""
    arguments = case.as_transport_kwargs(base_url="http://mainstay", headers=ADMIN)
    sent = {name: arguments.get(name) for name in ("method", "url", "params", "headers", "json")}
    answer = world.answer(**sent, content=arguments.get("data"))
    assert answer.status_code < 500, answer.text

    owner = ADMIN if "/admin" in case.path else AUTH
    url, body = helped(case.path, case.body, world.ids(case.path))
    fresh = {name: value for name, value in arguments["headers"].items() if name.lower() != "idempotency-key"}
    again = world.answer(
        method=case.method,
        url=url,
        params=arguments.get("params"),
        headers={**fresh, **owner},
        json=body if isinstance(body, dict) else None,
    )
    assert again.status_code < 500, again.text


@pytest.mark.parametrize("route", ASKED)
def test_what_is_put_right_is_not_refused(route: str, world: World) -> None:
    """Without anything generated in it each request succeeds, so what is refused above is refused for that."""
    method, path = route.split(" ")
    url, body = helped(path, {} if method == "POST" else None, world.ids(path))
    owner = ADMIN if "/admin" in path else AUTH
    assert world.answer(method=method, url=url, json=body, headers=owner).status_code < 300
