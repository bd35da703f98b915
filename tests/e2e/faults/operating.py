"""What an operator does while Mainstay serves: change `user_config` through Serve's REST API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.e2e.launching import Served

APPLICATIONS = "/api/serve/applications/"


@asynccontextmanager
async def user_config(served: Served, deployment: str, **knobs: Any) -> AsyncIterator[None]:
    """Lay knobs over a deployment's `user_config`, and take them away again at the end of the block."""
    token = await asyncio.to_thread((served.home / "ray-token").read_text)
    dashboard = f"http://127.0.0.1:{served.environ['MAINSTAY_DASHBOARD_PORT']}"
    async with httpx.AsyncClient(base_url=dashboard, headers={"authorization": f"Bearer {token}"}) as ray:
        before = await _application(ray)
        changed = [
            {**each, "user_config": {**each["user_config"], **knobs}} if each["name"] == deployment else each
            for each in before["deployments"]
        ]
        await _deploy(ray, {**before, "deployments": changed})
        try:
            yield
        finally:
            await _deploy(ray, before)


async def _application(ray: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await ray.get(APPLICATIONS)).json()["applications"]["mainstay"]["deployed_app_config"]
    return found


async def _deploy(ray: httpx.AsyncClient, application: dict[str, Any]) -> None:
    """What `serve deploy` sends: the whole application. Returns once Serve has told its replicas."""
    running = (await ray.get(APPLICATIONS)).json()
    http_options = {name: value for name, value in running["http_options"].items() if value is not None}
    config = {
        "proxy_location": running["proxy_location"],
        "http_options": http_options,
        "applications": [application],
    }
    response = await ray.put(APPLICATIONS, json=config)
    assert response.status_code == 200, response.text
    async with asyncio.timeout(20):
        while (await ray.get(APPLICATIONS)).json()["applications"]["mainstay"]["status"] != "RUNNING":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
