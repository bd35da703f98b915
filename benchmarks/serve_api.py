"""What an operator tells Serve: its REST API, on the dashboard's port, with the cluster's token."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

APPLICATION = "mainstay"

_APPLICATIONS = "/api/serve/applications/"
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeApi:
    """Every method raises httpx.HTTPError."""

    ray: httpx.AsyncClient

    async def application(self) -> dict[str, Any]:
        """Return what Serve says of the application. Raises KeyError while it says nothing."""
        return dict((await self._all())["applications"][APPLICATION])

    async def config(self) -> dict[str, Any]:
        """Return the application as it was deployed last. Raises KeyError while there is none."""
        return dict((await self.application())["deployed_app_config"])

    async def deploy(self, config: Mapping[str, Any]) -> None:
        """Send what `serve deploy` sends: the whole application. Returns before Serve has done it."""
        running = await self._all()
        whole = {
            "proxy_location": running["proxy_location"],
            "http_options": {name: value for name, value in running["http_options"].items() if value is not None},
            "applications": [config],
        }
        (await self.ray.put(_APPLICATIONS, json=whole)).raise_for_status()

    async def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ray.get(_APPLICATIONS)).raise_for_status().json()
        return found


@asynccontextmanager
async def serve_api(dashboard: str, token: str) -> AsyncIterator[ServeApi]:
    """Open the API behind a dashboard's URL."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=dashboard, headers=headers, timeout=_TIMEOUT_S) as ray:
        yield ServeApi(ray=ray)


def with_deployment(config: Mapping[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    """Return an application with something of one deployment changed."""
    deployments = [{**each, **changes} if each["name"] == name else each for each in config["deployments"]]
    return {**config, "deployments": deployments}


def with_replicas(config: Mapping[str, Any], name: str, count: int) -> dict[str, Any]:
    """Return an application with just so many replicas of one deployment."""
    [scaling] = [each["autoscaling_config"] for each in config["deployments"] if each["name"] == name]
    return with_deployment(config, name, autoscaling_config={**scaling, "min_replicas": count, "max_replicas": count})
