"""How long one model call is waited for: to its first content, between pieces of content, never beyond the deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.errors import ModelTimeout
from services.llm.types import ProviderSpec
from services.runs.deadline import Deadline

SLACK = 0.1
"""The limit between pieces is kept to within this share: a timer is set anew every so often, not for every token."""


@asynccontextmanager
async def patience(spec: ProviderSpec, deadline: Deadline) -> AsyncIterator[Callable[[], None]]:
    """Cancel the body when content is late. Yields what is to be called whenever content came.

    Raises ModelTimeout, or DeadlineExceeded where it was the run's own time that ended.
    """
    now = asyncio.get_running_loop().time
    started = False
    slack_s = spec.inter_token_timeout_s * SLACK
    settled_until = float("-inf")

    def progressed() -> None:
        nonlocal started, settled_until
        if (time := now()) < settled_until:
            return
        started, settled_until = True, time + slack_s
        limit.reschedule(time + min(spec.inter_token_timeout_s + slack_s, deadline.remaining_s()))

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
