"""What a fault is, and the pieces that several of them are made of."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from benchmarks.upstream.directive import Directive
from benchmarks.upstream.reply import End, Framing, Reply, Step

Alter = Callable[[Reply, Directive], Reply]
Ask = Callable[[Directive], Directive]
Continue = Callable[[Reply, Directive], Iterable[Step]]
"""What follows the cut, from the reply that was cut."""


def _as_it_is(reply: Reply, _directive: Directive) -> Reply:
    return reply


def _as_asked(directive: Directive) -> Directive:
    return directive


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break a reply."""

    says: str
    alter: Alter = _as_it_is
    ask: Ask = _as_asked
    """Changes what the model is asked for, before it is asked."""
    endless: bool = False
    """The reply is over only when the client leaves."""

    def strike(self, reply: Reply, directive: Directive) -> Reply:
        """The reply, broken."""
        return replace(self.alter(reply, directive), faulted=True)


def instead(*steps: Step, silent: bool = False) -> Alter:
    """These steps, with the usual head or (`silent`) without one."""
    return lambda reply, _directive: replace(reply, opening=steps, closing=(), silent=silent)


def then(*steps: Step, framing: Framing | None = None) -> Alter:
    """`after` deltas as usual, then these steps instead of the rest; a step's delay is in token times. Of a body that
    is no stream: half."""

    def alter(reply: Reply, directive: Directive) -> Reply:
        paced = ((delay * directive.token_s, what) for delay, what in steps)
        writes = any(isinstance(what, bytes) for _, what in steps)
        return replace(
            reply, opening=_cut(reply, directive), closing=paced, framing=framing or _open_ended(reply, writes=writes)
        )

    return alter


def go_on(steps: Continue) -> Alter:
    """`after` deltas as usual, then whatever the function makes of the reply."""

    def alter(reply: Reply, directive: Directive) -> Reply:
        return replace(
            reply,
            opening=_cut(reply, directive),
            closing=steps(reply, directive),
            framing=_open_ended(reply, writes=True),
        )

    return alter


def for_ever(*frames: bytes, every_s: float) -> Alter:
    """These frames in turn, at a steady pace."""
    return go_on(lambda _reply, _directive: ((every_s, frame) for frame in itertools.cycle(frames)))


def _open_ended(reply: Reply, *, writes: bool) -> Framing:
    """What is written after the cut would not fit a length announced before it."""
    return Framing.CLOSE if writes and reply.framing is Framing.LENGTH else reply.framing


def _cut(reply: Reply, directive: Directive) -> Iterable[Step]:
    return itertools.islice(reply.opening, 1 + directive.after)


END: Step = (0.0, End.COMPLETE_FIN)
"""The body ends in order and says nothing of it."""
