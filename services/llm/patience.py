"""How long one model call is waited for: to its first content, between pieces of content, never beyond the deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.errors import ModelTimeout
from services.llm.types import ProviderSpec
from services.runs.deadline import Deadline


@asynccontextmanager
async def patience(spec: ProviderSpec, deadline: Deadline) -> AsyncIterator[Callable[[], None]]:
    """Cancel the body when content is late. Yields what is to be called whenever content came.

    Raises ModelTimeout, or DeadlineExceeded where it was the run's own time that ended.
    """
    now = asyncio.get_running_loop().time
    started = False

    def progressed() -> None:
        nonlocal started
        started = True
        limit.reschedule(now() + min(spec.inter_token_timeout_s, deadline.remaining_s()))

    try:
        async with asyncio.timeout(deadline.clamp(spec.first_token_timeout_s)) as limit:
            yield progressed
    except TimeoutError:
        deadline.clamp(spec.first_token_timeout_s)
        if started:
            text = f"{spec.name}: nothing for {spec.inter_token_timeout_s:g} s in the middle of an answer."
        else:
            text = f"{spec.name}: no answer began within {spec.first_token_timeout_s:g} s."
        raise ModelTimeout(text) from None
