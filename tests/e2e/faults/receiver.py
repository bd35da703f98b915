"""Whoever is told of something by a webhook."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.e2e.launching import free_port


@asynccontextmanager
async def receiver(told: "asyncio.Queue[dict[str, Any]]") -> AsyncIterator[str]:
    """Listen, and put all that is posted into `told`. The value is the URL to post to."""

    async def hear(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()
