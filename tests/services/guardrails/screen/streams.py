"""A run's screen, and what comes out of it."""

from collections.abc import Iterable
from typing import Any

from services.events import GuardrailTripped
from services.guard import Action
from services.guardrails.screen.output import OutputScreen, RunScreen
from services.guardrails.screen.policy import OutputPolicy
from services.types import Message
from tests.services.runs.fakes import a_run

STRICT = OutputPolicy(emails=Action.REDACT, phones=Action.REDACT, ips=Action.REDACT, links=Action.REDACT)
"""Everything is withheld."""


def screen_of(
    policy: OutputPolicy | OutputScreen = OutputPolicy(),  # noqa: B008
    *,
    user: str = "hello",
    told: list[GuardrailTripped] | None = None,
    **prompts: str,
) -> RunScreen:
    screen = policy if isinstance(policy, OutputScreen) else OutputScreen(policy)
    run = a_run(messages=(Message(role="user", content=user),))
    return screen.open(run, prompts, (told if told is not None else []).append)


def released(screen: RunScreen, pieces: Iterable[str]) -> str:
    """What comes out of a text in these pieces, when it has ended."""
    stream: Any = screen.stream()
    return "".join([stream.feed(piece) for piece in pieces]) + stream.finish()
