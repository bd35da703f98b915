"""How much of everything: a short form for `make test`, and the full one for `make chaos`."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """`kills` are rounds by the victim's name, each under `streams` streams at once."""

    kills: dict[str, int]
    streams: int
    resume_every: int
    """Behind every how-manieth event of a run a client comes back."""
    rollout_streams: int
    submissions: int
    """At once on one thread."""
    identical: int
    """At once under one Idempotency-Key."""


SHORT = Sizes(
    kills={"agent": 2, "ingress": 1, "controller": 1, "postgres": 1, "proxy": 1},
    streams=20,
    resume_every=10,
    rollout_streams=10,
    submissions=30,
    identical=30,
)
FULL = Sizes(
    kills={"agent": 100, "ingress": 20, "controller": 5, "postgres": 5, "proxy": 5},
    streams=20,
    resume_every=1,
    rollout_streams=50,
    submissions=200,
    identical=100,
)


def chosen() -> Sizes:
    """Return the sizes that the variable CHAOS asks for: `full`, or the short ones."""
    return FULL if os.environ.get("CHAOS") == "full" else SHORT
