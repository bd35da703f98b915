"""A replica's part in the watch over judged answers, at work until the replica stops."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import aiohttp

from evaluation.drift.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWatch:
    """`watching` takes turns, `sending` tells of alerts; what it has begun to tell and not recorded is told again elsewhere."""

    watcher: Watcher
    watching: "asyncio.Task[NoReturn]"
    sending: "asyncio.Task[NoReturn] | None"
    sessions: Sequence[aiohttp.ClientSession]

    def show(self) -> None:
        """Set the gauges of what is watched."""
        self.watcher.show()

    async def close(self) -> None:
        """Stop both, and let another replica watch at once."""
        tasks = [self.watching] if self.sending is None else [self.watching, self.sending]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.watcher.close()
        for session in self.sessions:
            await session.close()
