"""What was spent, as a client sees it."""

import asyncio
from typing import Any

import httpx

WITHIN_S = 20.0
"""A run that was taken over settles what it lost at its end at the latest, and a bill that the store did not take is tried each
second."""


async def settled(client: httpx.AsyncClient) -> dict[str, Any]:
    """Ask until no model call has anything reserved, and return what is spent."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            usage = (await client.get("/usage")).json()
            if usage["reserved"] == {"money": 0.0, "tokens": 0}:
                spent: dict[str, Any] = usage["spent"]
                return spent
            await asyncio.sleep(0.1)
