"""A point in time after which nobody waits any more, handed from hop to hop as the seconds that remain."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from services.errors import DeadlineExceeded
from services.runs.buffer import Timer, call_later

Clock = Callable[[], float]
CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """An absolute time on the local monotonic clock; processes do not share it, so only `remaining_s` may travel."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        return cls(at=clock() + seconds, clock=clock)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - self.clock())

    def clamp(self, timeout_s: float) -> float:
        """Return `timeout_s`, or what is left if that is less. Raises DeadlineExceeded when nothing is left."""
        remaining = self.remaining_s()
        if remaining <= 0.0:
            raise DeadlineExceeded("The run reached its time limit.")
        return min(timeout_s, remaining)


class TimeLimit:
    """Ends what waits inside `with limit:` once its seconds have passed, counted from when the limit was made.

    What waits is cancelled once and the block raises DeadlineExceeded, as does every block entered later; a cancellation
    from elsewhere passes through. It differs from `asyncio.timeout` in that it has one timer for its whole life, so that
    entering a block costs none: a run enters one per batch. One block at a time, in whichever task; `stop` it at the end.
    """

    def __init__(self, seconds: float, *, clock: Clock = time.monotonic, call_later: CallLater = call_later) -> None:
        self.passed = False
        self._seconds = seconds
        self._deadline = Deadline.after(seconds, clock)
        self._call_later = call_later
        self._grace_s = 0.0
        self._on_pass: Callable[[], None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer = call_later(seconds, self._look)

    def remaining_s(self) -> float:
        """Seconds left, never below zero; the grace of `extend` is not among them."""
        return self._deadline.remaining_s()

    def elapsed_s(self) -> float:
        return self._seconds - (self._deadline.at - self._deadline.clock())

    def exceeded(self) -> DeadlineExceeded:
        """Return the error that says so."""
        return DeadlineExceeded(
            f"The run reached its time limit of {self._seconds:g} s. Ask for less, or allow it more time by timeout_s."
        )

    def extend(self, grace_s: float, on_pass: Callable[[], None]) -> None:
        """Pass `grace_s` later than agreed, for somebody else's word to come first, and call `on_pass` then."""
        self._grace_s = grace_s
        self._on_pass = on_pass

    def stop(self) -> None:
        """Never pass, if it has not."""
        self._timer.cancel()
        self._on_pass = None  # whoever is called back holds this

    def _look(self) -> None:
        left_s = self._deadline.at + self._grace_s - self._deadline.clock()
        if left_s > 0:
            self._timer = self._call_later(left_s, self._look)
            return
        self.passed = True
        if self._on_pass is not None:
            self._on_pass()
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a TimeLimit needs a task to end")
        if self.passed:
            raise self.exceeded()
        self._task, self._cancelling = task, task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self.passed and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self.exceeded() from None
