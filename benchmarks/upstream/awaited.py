"""Counts that a test waits for instead of sleeping."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self


@dataclass(slots=True, kw_only=True, eq=False)
class Awaited:
    """Something that is written to and tells those who wait for it."""

    who: ClassVar[str] = "it"
    """Subject of the sentence that a timeout says."""

    _waiting: list[tuple[Callable[[Any], bool], "asyncio.Future[None]"]] = field(default_factory=list)

    async def until(self, condition: Callable[[Self], bool], *, timeout_s: float = 5.0) -> Self:
        """Returns as soon as the condition holds; raises TimeoutError with what was seen instead."""
        if condition(self):
            return self
        waiting = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting[1]
        except TimeoutError:
            raise TimeoutError(f"{self.who} saw only: {self.summary()}") from None
        finally:
            self._waiting.remove(waiting)
        return self

    def summary(self) -> dict[str, int]:
        """The counts by name."""
        raise NotImplementedError

    def _tell(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition(self):
                future.set_result(None)
