"""A replica's part in the watch over judged answers, at work until the replica stops."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import aiohttp

from evaluation.drift.watcher import Watcher
from services.alerts.types import DueAlert
from services.sending import Sender

LEAVING_S = 2.0
"""A replica of the evaluator has ten seconds to end in (serve_config.yaml)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWatch:
    """`watching` takes turns, `sending` begins attempts to tell of alerts."""

    watcher: Watcher
    watching: "asyncio.Task[NoReturn]"
    sender: Sender[DueAlert]
    sending: "asyncio.Task[NoReturn] | None"
    sessions: Sequence[aiohttp.ClientSession]

    def show(self) -> None:
        """Set the gauges of what is watched."""
        self.watcher.show()

    async def close(self) -> None:
        """Stop both, and let another replica watch at once; it tells again of what is not told of in time."""
        tasks = [self.watching] if self.sending is None else [self.watching, self.sending]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.watcher.close()
        await self.sender.close(within_s=LEAVING_S)
        for session in self.sessions:
            await session.close()
