"""What an operator does while Mainstay serves: change `user_config` through Serve's REST API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.serve_api import ServeApi, with_deployment
from tests.e2e.launching import Served, operated


@asynccontextmanager
async def user_config(served: Served, deployment: str, **knobs: Any) -> AsyncIterator[None]:
    """Lay knobs over a deployment's `user_config`, and take them away again at the end of the block."""
    async with operated(served) as api:
        before = await api.config()
        [present] = [each["user_config"] for each in before["deployments"] if each["name"] == deployment]
        await _deploy(api, with_deployment(before, deployment, user_config={**present, **knobs}))
        try:
            yield
        finally:
            await _deploy(api, before)


async def _deploy(api: ServeApi, config: dict[str, Any]) -> None:
    """Returns once Serve has told its replicas."""
    await api.deploy(config)
    async with asyncio.timeout(20):
        while (await api.application())["status"] != "RUNNING":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
