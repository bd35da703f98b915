"""A replica's webhook sender at work, until the replica stops."""

import asyncio
from dataclasses import dataclass

import aiohttp

from services.runs.webhooks import DueWebhook
from services.sending import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """`sending` begins attempts at what is due."""

    sender: Sender[DueWebhook]
    sending: "asyncio.Task[None]"
    session: aiohttp.ClientSession

    async def close(self) -> None:
        """Begin no more attempts, and let those that have begun end."""
        self.sending.cancel()
        await self.sender.close()
        await self.session.close()
