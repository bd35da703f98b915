"""What is asked of the cluster while it is hurt: answers in one piece, plans of several steps, tools that have effects."""

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from benchmarks.upstream import Directive
from benchmarks.upstream.answers import word
from tests.e2e.chaos.effects import Expected

ACTING = "acting"
"""The graph that has the tools of `effects`."""

PLAN = "1. Look at it.\n2. Tell of it.\n"
TOKEN_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A turn of a thread of its own, and the calls that it makes. `tokens` are those of the last model call."""

    body: dict[str, Any]
    tokens: int
    calls: tuple[Expected, ...] = ()


def turn(directive: Directive, **more: Any) -> dict[str, Any]:
    """Return the body of a run that goes on without its reader."""
    messages = [{"role": "user", "content": directive.in_message()}]
    return {"messages": messages, "on_disconnect": "continue", **more}


def talking(dice: Random) -> Asked:
    """One model call, three to five seconds long."""
    tokens = dice.randint(100, 150)
    return Asked(body=turn(Directive(tokens=tokens, token_s=TOKEN_S)), tokens=tokens)


def planning(dice: Random) -> Asked:
    """Four model calls, one after the other, each a step of the graph."""
    directive = Directive(text=PLAN, token_s=TOKEN_S, first_token_s=dice.uniform(0.3, 0.9))
    return Asked(body=turn(directive, model="plan_execute"), tokens=len(PLAN) // 4)


def acting(dice: Random, label: str, tool: Literal["note_once", "note_idempotent"]) -> Asked:
    """A model call that asks for two calls of a tool at once, and one that answers."""
    calls = (Expected(f"{label}a", tool), Expected(f"{label}b", tool))
    tokens = dice.randint(40, 80)
    directive = Directive(
        tool_calls=tuple(call.call for call in calls),
        chunks=tuple(map(word, range(tokens))),
        token_s=TOKEN_S,
        first_token_s=dice.uniform(0.0, 1.5),
    )
    return Asked(body=turn(directive, model=ACTING), tokens=tokens, calls=calls)


def asked_at(dice: Random, place: int, label: str) -> Asked:
    """Return a turn, of another kind at each of four places. `label` tells its effects from everybody else's."""
    match place % 4:
        case 0:
            return talking(dice)
        case 1:
            return acting(dice, label, "note_once")
        case 2:
            return planning(dice)
        case _:
            return acting(dice, label, "note_idempotent")


def mixture(dice: Random, count: int, label: str) -> list[Asked]:
    """Return so many turns, of all kinds."""
    return [asked_at(dice, place, f"{label}-{place}") for place in range(count)]
