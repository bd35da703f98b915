"""What each route asks of a key, by the application's own list of routes: a route that is not in the table fails."""

from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from deployments.http.access import OPEN_PATHS
from services.security.permissions import Permission
from tests.deployments.http.fakes import ADMIN_KEY, Rig
from tests.deployments.http.route_table import ASKED, NEEDS_A_KEY_ONLY, routes


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
    [(denied, lacking)] = rig.watch.denials
    assert (denied.tenant_id, denied.user_id, denied.key_id, lacking) == ("acme", "root", None, permission)
