"""How a judge is asked, and how a command is told."""

import argparse
from dataclasses import dataclass
from typing import Literal, get_args

TIMEOUT_S = 300.0
"""For one question of a command: nobody waits for it, and a small machine is slow."""

Style = Literal["structured", "one_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a judge is asked. `max_chars` of a run are shown in one question; `max_tokens` is for a structured verdict, and
    `temperature` None for models that take none. `timeout_s` is for one question.
    """

    style: Style
    max_chars: int = 24_000
    max_tokens: int = 1_024
    temperature: float | None = 0.0
    timeout_s: float = 30.0


def asking_arguments(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add how a judge is asked, as `evaluator.judge` says it in settings: scores follow from all of it."""
    known = Asking(style="structured")
    parser.add_argument(f"--{prefix}style", choices=get_args(Style), default=known.style)
    parser.add_argument(
        f"--{prefix}max-chars",
        type=int,
        default=known.max_chars,
        help="of a run in one question (default: %(default)s)",
    )
    parser.add_argument(
        f"--{prefix}max-tokens", type=int, default=known.max_tokens, help="of a verdict (default: %(default)s)"
    )
    parser.add_argument(
        f"--{prefix}temperature", type=_temperature, default=known.temperature, help="none for models that take none"
    )


def asking_of(asked: argparse.Namespace, prefix: str = "") -> Asking:
    """Return what `asking_arguments` were told."""
    names = ("style", "max_chars", "max_tokens", "temperature")
    told = {name: getattr(asked, f"{prefix}{name}".replace("-", "_")) for name in names}
    return Asking(**told, timeout_s=TIMEOUT_S)


def _temperature(text: str) -> float | None:
    return None if text == "none" else float(text)
