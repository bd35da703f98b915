"""A fleet of one replica per deployment: one that started during a window would cost more than what is measured in it."""

from typing import Any

import httpx

_APPLICATIONS = "/api/serve/applications/"
_TIMEOUT_S = 30.0


async def fix_fleet(dashboard: str, token: str) -> None:
    """Have Serve start no more replicas of Mainstay than there are. Raises httpx.HTTPError."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=dashboard, headers=headers, timeout=_TIMEOUT_S) as ray:
        running = (await ray.get(_APPLICATIONS)).raise_for_status().json()
        config = {
            "proxy_location": running["proxy_location"],
            "http_options": {name: value for name, value in running["http_options"].items() if value is not None},
            "applications": [_fixed(each["deployed_app_config"]) for each in running["applications"].values()],
        }
        (await ray.put(_APPLICATIONS, json=config)).raise_for_status()


def _fixed(application: dict[str, Any]) -> dict[str, Any]:
    deployments = [
        {**each, "autoscaling_config": {**each["autoscaling_config"], "min_replicas": 1, "max_replicas": 1}}
        for each in application["deployments"]
    ]
    return {**application, "deployments": deployments}
