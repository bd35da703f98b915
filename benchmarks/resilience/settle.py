"""Between two measurements: wait until everything is as it was."""

import asyncio

import aiohttp

from benchmarks.resilience.site import Site

IN_A_ROW = 10
"""So many turns in a row that the first of a graph's providers answered: its breaker is closed and starts slowly no more."""
_WITHIN_S = 60.0
_DONE = b"event: run_completed"


async def settle(site: Site, graph: str) -> None:
    """Ask until the graph's first provider answers everything, and nothing is open any more. Raises TimeoutError."""
    upstreams = (site.primary, site.secondary)
    async with asyncio.timeout(_WITHIN_S), aiohttp.ClientSession(headers=site.mainstay.headers) as session:
        good = 0
        while good < IN_A_ROW:
            strayed = site.secondary.seen.received
            answered = await _answered(session, site, graph)
            good = good + 1 if answered and site.secondary.seen.received == strayed else 0
            await asyncio.sleep(site.settle_every_s)
        for upstream in upstreams:
            await upstream.seen.until(lambda seen: seen.open == 0, timeout_s=_WITHIN_S)


async def _answered(session: aiohttp.ClientSession, site: Site, graph: str) -> bool:
    body = site.mainstay.body("Are you there?", model=graph).encode()
    headers = {"content-type": "application/json"}
    async with session.post(site.mainstay.url, data=body, headers=headers) as response:
        return _DONE in await response.read()
