"""What each route asks of a key, by the application's own list of routes: a route that is not here fails."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from deployments.http.access import OPEN_PATHS
from services.security.permissions import Permission
from tests.deployments.http.fakes import ADMIN_KEY, Rig

READ, WRITE, ERASE = Permission.RUNS_READ, Permission.RUNS_WRITE, Permission.DATA_ERASE
ASKED = {
    "POST /chat/stream": WRITE,
    "POST /v1/chat/completions": WRITE,
    "POST /runs": WRITE,
    "POST /runs/wait": WRITE,
    "GET /runs/{run_id}": READ,
    "GET /runs/{run_id}/stream": READ,
    "GET /runs/{run_id}/wait": READ,
    "POST /runs/{run_id}/cancel": WRITE,
    "GET /threads": READ,
    "GET /threads/{thread_id}": READ,
    "GET /threads/{thread_id}/messages": READ,
    "DELETE /threads/{thread_id}": ERASE,
    "GET /memories": READ,
    "DELETE /memories": ERASE,
    "DELETE /memories/{memory_id}": ERASE,
    "GET /v1/models": READ,
    "GET /v1/models/{model}": READ,
    "POST /admin/keys": Permission.KEYS_MANAGE,
    "GET /admin/keys": Permission.KEYS_MANAGE,
    "POST /admin/keys/{key_id}/rotate": Permission.KEYS_MANAGE,
    "DELETE /admin/keys/{key_id}": Permission.KEYS_MANAGE,
    "GET /admin/audit": Permission.AUDIT_READ,
}
NEEDS_A_KEY_ONLY = {"GET /openapi.json"}


def routes(router: Any) -> Iterator[str]:
    """Yield every method and path that is answered to; what is no route and no router fails, for it could be anything."""
    for route in router.routes:
        if isinstance(route, APIRoute | Route):
            yield from (f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"})
        else:
            yield from routes(route.original_router)


def test_every_route_is_here() -> None:
    assert set(routes(Rig().app)) == ASKED.keys() | NEEDS_A_KEY_ONLY | {f"GET {path}" for path in OPEN_PATHS}


@pytest.mark.parametrize(("route", "permission"), ASKED.items())
async def test_a_route_is_closed_without_its_permission(route: str, permission: Permission) -> None:
    """A key with every other permission is refused, before its body is looked at; with that one alone it gets further."""
    rig = Rig()
    method, path = route.split(" ")
    url = path.format(run_id=uuid4(), thread_id=uuid4(), memory_id=uuid4(), key_id=uuid4(), model="none")
    principal = rig.authenticator.principals[ADMIN_KEY]
    transport = httpx.ASGITransport(app=rig.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://mainstay") as client:
        answers = []
        for permissions in (set(Permission) - {permission}, {permission}):
            rig.authenticator.principals[ADMIN_KEY] = replace(principal, permissions=frozenset(permissions))
            headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
            answers.append(await client.request(method, url, content=b"?", headers=headers))
    refused, passed = answers
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    assert permission in refused.json()["error"]["message"]
    assert passed.status_code != 403
