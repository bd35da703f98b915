"""What an operator sees of Serve and tells it: its replicas, the application's configuration, a new version of it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from tests.e2e.launching import Served

APPLICATIONS = "/api/serve/applications/"
APPLICATION = "mainstay"
DIRECT_PORTS = range(30_000, 31_001)
"""Where Serve has ingress replicas listen in the production profile."""

SETTLED_S = 240.0
LOOK_S = 0.5
"""Between two looks: each of them costs the processors that replicas start with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Serve's REST API."""

    ray: httpx.AsyncClient

    async def application(self) -> dict[str, Any]:
        """Return what Serve says of the application. Raises httpx.TransportError and KeyError while it says nothing."""
        found: dict[str, Any] = (await self.ray.get(APPLICATIONS)).raise_for_status().json()
        return dict(found["applications"][APPLICATION])

    async def replicas(self, deployment: str) -> set[int]:
        """Return the processes of a deployment's replicas that Serve takes to be at work."""
        return at_work(await self.application(), deployment)

    async def until_whole(self, *, without: Collection[int] = (), **counts: int) -> None:
        """Wait until the application runs and each of these deployments has just so many replicas, none of `without`."""
        async with asyncio.timeout(SETTLED_S):
            while not await self._is_whole(without, counts):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)

    async def _is_whole(self, without: Collection[int], counts: Mapping[str, int]) -> bool:
        try:
            application = await self.application()
        except (httpx.HTTPError, KeyError):  # a controller that has just started
            return False
        found = {name: at_work(application, name) for name in counts}
        return application["status"] == "RUNNING" and all(
            len(pids) == counts[name] and pids.isdisjoint(without) for name, pids in found.items()
        )

    async def deploy(self, application: Mapping[str, Any]) -> None:
        """Send what `serve deploy` sends: the whole application."""
        running = (await self.ray.get(APPLICATIONS)).json()
        http_options = {name: value for name, value in running["http_options"].items() if value is not None}
        config = {
            "proxy_location": running["proxy_location"],
            "http_options": http_options,
            "applications": [application],
        }
        response = await self.ray.put(APPLICATIONS, json=config)
        assert response.status_code == 200, response.text


@asynccontextmanager
async def operating(served: Served) -> AsyncIterator[Operator]:
    """Open Serve's REST API, on the dashboard's port, with the cluster's token."""
    token = await asyncio.to_thread((served.home / "ray-token").read_text)
    dashboard = f"http://127.0.0.1:{served.environ['MAINSTAY_DASHBOARD_PORT']}"
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=dashboard, headers=headers, timeout=30.0) as ray:
        yield Operator(ray=ray)


def at_work(application: Mapping[str, Any], deployment: str) -> set[int]:
    """The replicas that are at work, as Serve tells of an application; while a new version is built it tells of none."""
    replicas = application["deployments"].get(deployment, {"replicas": ()})["replicas"]
    return {int(replica["pid"]) for replica in replicas if replica["state"] == "RUNNING" and replica["pid"]}


def with_deployment(application: Mapping[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    """Return an application's configuration with something of one deployment changed."""
    deployments = [{**each, **changes} if each["name"] == name else each for each in application["deployments"]]
    return {**application, "deployments": deployments}


def with_replicas(application: Mapping[str, Any], name: str, count: int) -> dict[str, Any]:
    """Return an application's configuration with just so many replicas of one deployment."""
    [scaling] = [each["autoscaling_config"] for each in application["deployments"] if each["name"] == name]
    return with_deployment(
        application, name, autoscaling_config={**scaling, "min_replicas": count, "max_replicas": count}
    )


def with_settings(application: Mapping[str, Any], section: str, **changes: Any) -> dict[str, Any]:
    """Return an application's configuration with settings laid over its own: a new version, for Serve."""
    settings = application["args"]["settings"]
    changed = {**settings, section: {**settings.get(section, {}), **changes}}
    return {**application, "args": {**application["args"], "settings": changed}}


def direct_url(pid: int) -> str:
    """Return the address of one ingress replica, past the proxy. Raises ValueError when it listens nowhere."""
    listening = {
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    [port] = [port for port in listening if port in DIRECT_PORTS]
    return f"http://127.0.0.1:{port}"
