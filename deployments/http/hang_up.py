"""Noticing that a client has left, also while there is nothing to send to it."""

import asyncio
from types import TracebackType

from starlette.types import Receive


class UntilHangUp:
    """Runs a block until the client leaves, and then interrupts it: `async with UntilHangUp(receive) as client: ...`.

    One task per request watches `receive`; what it interrupts it cancels once, as `asyncio.timeout` does, and the
    cancellation ends at the end of the block. `left` tells afterwards. A cancellation from elsewhere passes through.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.left = False

    async def __aenter__(self) -> "UntilHangUp":
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("UntilHangUp needs a task to interrupt")
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self._over = False
        self._watcher: asyncio.Future[None] | None = asyncio.ensure_future(self._watch())
        self._watcher.add_done_callback(self._on_watched)
        return self

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _on_watched(self, watcher: "asyncio.Future[None]") -> None:
        if watcher.cancelled():
            return
        watcher.exception()  # a `receive` that breaks is a connection that broke
        self.interrupt()

    def interrupt(self) -> None:
        """End the block as if the client had left. Does nothing once the block is over."""
        if not self._over and self._task is not None:
            self._over = self.left = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._over = True
        watcher, self._watcher = self._watcher, None
        task, self._task = self._task, None  # both hold this, and would wait for a garbage collection together
        if watcher is not None:
            watcher.cancel()
        is_ours = self.left and task is not None and task.uncancel() <= self._cancelling
        return is_ours and kind is asyncio.CancelledError
