"""What an operator sees of Serve and tells it: its replicas, the application's configuration, a new version of it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from benchmarks.serve_api import ServeApi

DIRECT_PORTS = range(30_000, 31_001)
"""Where Serve has ingress replicas listen in the production profile."""

SETTLED_S = 240.0
LOOK_S = 0.5
"""Between two looks: each of them costs the processors that replicas start with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Serve's REST API, and what is waited for with it."""

    api: ServeApi

    async def replicas(self, deployment: str) -> set[int]:
        """Return the processes of a deployment's replicas that Serve takes to be at work."""
        return at_work(await self.api.application(), deployment)

    async def until_whole(self, *, without: Collection[int] = (), **counts: int) -> None:
        """Wait until the application runs and each of these deployments has just so many replicas, none of `without`."""
        async with asyncio.timeout(SETTLED_S):
            while not await self._is_whole(without, counts):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)

    async def _is_whole(self, without: Collection[int], counts: Mapping[str, int]) -> bool:
        try:
            application = await self.api.application()
        except (httpx.HTTPError, KeyError):  # a controller that has just started
            return False
        found = {name: at_work(application, name) for name in counts}
        return application["status"] == "RUNNING" and all(
            len(pids) == counts[name] and pids.isdisjoint(without) for name, pids in found.items()
        )


def at_work(application: Mapping[str, Any], deployment: str) -> set[int]:
    """The replicas that are at work, as Serve tells of an application; while a new version is built it tells of none."""
    replicas = application["deployments"].get(deployment, {"replicas": ()})["replicas"]
    return {int(replica["pid"]) for replica in replicas if replica["state"] == "RUNNING" and replica["pid"]}


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
