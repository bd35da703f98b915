"""What tools do to the world, done once: the key of a call, and calls that go by the ledger.

Before a call with an effect its intent is in the ledger, after it its outcome. A run that is taken over, or that goes on
after a person was asked, finds there what became of its calls.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from graphs.tools.outcomes import Outcome, Problem, Reply, told
from services.errors import StoreUnavailable
from services.runs.effects import EffectCall, EffectOutcome, Effects, Entry
from services.runs.types import RunContext

logger = logging.getLogger(__name__)

_key: ContextVar[str] = ContextVar("idempotency_key")


def idempotency_key() -> str:
    """Return the key of the call that is being made: the same, however often this call is made again.

    For tools that declare a `repeat` other than `freely`, while they are called. Raises LookupError anywhere else.
    """
    return _key.get()


@contextmanager
def keyed(key: str) -> Iterator[None]:
    """Make `key` the idempotency key of what is called within: in a test of a tool, for instance."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


def recorded(reply: Reply) -> EffectOutcome:
    """Return a reply as the ledger keeps it."""
    return EffectOutcome(outcome=reply.outcome.value, text=reply.text, own=reply.own)


def remembered(outcome: EffectOutcome) -> Reply:
    """Return the reply that the ledger kept."""
    return Reply(outcome=Outcome(outcome.outcome), text=outcome.text, own=outcome.own)


class LedgerCalls:
    """Makes calls that have effects, by the ledger."""

    def __init__(self, ledger: Effects) -> None:
        self.ledger = ledger

    async def make(
        self, call: EffectCall, entry: Entry | None, context: RunContext, attempt: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Make a call of which nothing is known, or one that was begun before and may be made again, as `entry` says.

        Raises StoreUnavailable and RunSuperseded, before anything is done, when the intent cannot be recorded.
        """
        fence = context.claim.fence
        begun = await self.ledger.begin(fence, call, again=entry is not None)
        if isinstance(begun, Entry):
            return told(Problem.UNCERTAIN, name=call.tool) if begun.outcome is None else remembered(begun.outcome)
        return await self.carry_out(call, begun.key if entry is None else entry.key, context, attempt)

    async def carry_out(
        self, call: EffectCall, key: str, context: RunContext, attempt: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Make a call whose intent is recorded, and record how it ended."""
        with keyed(key):
            reply = await attempt()
        recording = asyncio.create_task(self._record(call, reply, context))
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            # What the tool has done is recorded even if the run is stopped at this moment, and no error of that comes first.
            await asyncio.gather(recording, return_exceptions=True)
            raise
        return reply

    async def _record(self, call: EffectCall, reply: Reply, context: RunContext) -> None:
        """Record an outcome. Where that cannot be done the run goes on: who takes it over will not know, and not repeat."""
        try:
            await self.ledger.done(context.claim.fence, call.id, recorded(reply))
        except StoreUnavailable as error:
            logger.warning("run %s: that %s was called could not be recorded: %s", context.run.id, call.tool, error)
