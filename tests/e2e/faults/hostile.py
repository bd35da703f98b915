"""Tools that do what a tool must not. `tests/e2e/inside/sitecustomize.py` registers them in the cluster under test."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from langchain_core.tools import StructuredTool

from graphs.tools.spec import ToolSpec

FLOOD_BYTES = 100_000_000


async def hang() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


async def flood() -> str:
    """Answer with 100 MB of text."""
    return "0123456789" * (FLOOD_BYTES // 10)


async def block() -> str:
    """Keep the event loop, and so everybody, waiting."""
    time.sleep(2.0)  # noqa: ASYNC251
    return "done"


async def binary() -> bytes:
    """Answer with what is no text."""
    return bytes(range(256)) * 1_000


async def unreachable() -> str:
    """Ask a host that is not there."""
    raise ConnectionRefusedError("http://10.0.0.1:8080/internal?key=sk-not-for-models")


async def wall_clock() -> str:
    """Tell the wall clock's time, in seconds."""
    return f"{time.time():.0f}"


def _spec(run: Callable[[], Awaitable[object]], *, network: bool = False) -> ToolSpec:
    return ToolSpec(
        factory=lambda _resources: StructuredTool.from_function(coroutine=run),
        effect="read",
        returns="trusted",
        network=network,
    )


TOOLS: Mapping[str, ToolSpec] = {
    "hang": _spec(hang),
    "flood": _spec(flood),
    "block": _spec(block),
    "binary": _spec(binary),
    "unreachable": _spec(unreachable, network=True),
    "wall_clock": _spec(wall_clock),
}
