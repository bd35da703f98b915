"""What becomes of a run whose reader is gone: it goes on for as long as somebody reads its log."""

from collections.abc import Callable, Coroutine
from typing import Any

from services.errors import StoreUnavailable
from services.runs.buffer import Timer
from services.runs.execution import Execution
from services.runs.ports import OwnedRuns

ORPHANED = "orphaned"
WATCHED_WITHIN_S = 5.0
"""Who reads a log says so every second or two: somebody who has not for so long has left."""


class Orphans:
    """Looks after runs that nobody reads here, `grace_s` after their reader has left and from then on from time to time, and
    stops those whose log nobody reads either.

    While the store cannot say whether a run has a reader it goes on. `spawn` starts a task of no request's own.
    """

    def __init__(
        self,
        runs: OwnedRuns,
        *,
        grace_s: float,
        call_later: Callable[[float, Callable[[], None]], Timer],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._runs = runs
        self._grace_s = grace_s
        self._call_later = call_later
        self._spawn = spawn

    def look_after(self, execution: Execution) -> None:
        """Begin to look after a run, until it ends."""
        self._look_in(self._grace_s, execution)

    def _look_in(self, seconds: float, execution: Execution) -> None:
        def look() -> None:
            if not execution.work.done():
                self._spawn(self._look(execution))

        self._call_later(seconds, look)

    async def _look(self, execution: Execution) -> None:
        within_s = max(self._grace_s, WATCHED_WITHIN_S)
        try:
            watched = await self._runs.watched(execution.id, within_s)
        except StoreUnavailable:
            watched = True
        if watched:
            self._look_in(within_s, execution)
        else:
            execution.stop(ORPHANED)
