"""A stand-in for Mainstay in one process: asks a graph's providers in their order, and answers as `/chat/stream` does."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from aiohttp import web

from benchmarks.resilience.counters import Counts
from benchmarks.resilience.site import FLOODER, HEALTHY, PRIMARY, Site


class Relay:
    """Implements `benchmarks.resilience.site.Served`. It has no breaker: every failure of a provider is one more attempt."""

    headers: Mapping[str, str] = {"authorization": "Bearer k"}

    def __init__(self, upstream_url: str, settings: Path) -> None:
        self.settings: dict[str, Any] = yaml.safe_load(settings.read_text())
        self.urls = {provider["name"]: provider["base_url"] for provider in self.settings["providers"]}
        self.url = ""
        self.failed = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_post("/chat/stream", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/chat/stream"

    async def stop(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def body(self, content: str, *, model: str | None = None) -> str:
        return orjson.dumps({"model": model, "messages": [{"role": "user", "content": content}]}).decode()

    def pids(self) -> frozenset[int]:
        return frozenset()

    async def key_of(self, tenant: str) -> str:
        return tenant

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers["authorization"] == f"Bearer {FLOODER}":
            return web.Response(status=429)
        asked = await request.json()
        call = {"model": "simulated", "stream": True, "messages": asked["messages"]}
        for name in self.settings["graphs"][asked["model"]]["providers"]:
            try:
                async with self._session.post(f"{self.urls[name]}/chat/completions", json=call) as reply:
                    reply.raise_for_status()
                    return await self._pass_on(request, await reply.read())
            except aiohttp.ClientError:
                self.failed += 1
        return web.Response(status=503)

    async def _pass_on(self, request: web.Request, answer: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(answer + b"event: run_completed\ndata: {}\n\n")
        await response.write_eof()
        return response


class RelaySite(Site):
    """With the relay's own count of failures in place of Mainstay's metrics."""

    def __init__(self) -> None:
        self.relays: list[Relay] = []
        super().__init__(self._make, healthy=replace(HEALTHY, first_token_s=0.0), settle_every_s=0.0)

    def _make(self, upstream_url: str, settings: Path) -> Relay:
        self.relays.append(Relay(upstream_url, settings))
        return self.relays[0]

    async def counters(self) -> Counts:
        return Counts(Counter({("ray_mainstay_model_calls", PRIMARY, "model_unreachable"): self.relays[0].failed}))
