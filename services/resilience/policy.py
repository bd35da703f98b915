"""What an operator may say about a breaker: every number with its unit, and what may have opened it."""

from dataclasses import dataclass, fields
from enum import StrEnum

from services.errors import ConfigurationError


class FailureKind(StrEnum):
    """What a failure says about how long to stay away."""

    TRANSIENT = "transient"
    """The upstream is ill or out of reach: seconds."""
    QUOTA = "quota"
    """What was paid for is used up: minutes, and nobody's retry cures it."""
    AUTH = "auth"
    """Our key was refused: minutes, until somebody mends it."""


class BreakerMode(StrEnum):
    """Who decides."""

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    """Nothing is admitted until the mode changes."""
    METRICS_ONLY = "metrics_only"
    """Everything is admitted and counted; nothing ever opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, for how long, and how it comes back. Times are seconds, rates and jitters shares of one.

    The defaults are for a hosted model: 30 s of traffic decide, an outage costs at most some 20 s more than it lasts.
    Raises ConfigurationError for numbers with which a breaker could neither open nor close.
    """

    mode: BreakerMode = BreakerMode.AUTO

    window_s: float = 30.0
    """How far back calls count."""
    bucket_s: float = 1.0
    """In what steps they leave the window."""
    min_calls: int = 10
    """No rate is looked at before there are so many calls in the window."""
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    broken_rate: float = 0.3
    """Of the streams that had begun, those that broke later."""
    consecutive_failures: int = 5
    """So many failures with no success between them open it, however few calls there are."""

    slow_floor_s: float = 5.0
    """No first content within this is never slow. Reasoning models think for longer: give them more."""
    slow_factor: float = 4.0
    """Slow is what takes so many times as long as nineteen of twenty healthy calls do."""

    open_s: float = 2.0
    """After a transient failure, at first; doubled with every opening until `open_max_s`."""
    open_max_s: float = 8.0
    auth_open_s: float = 60.0
    auth_open_max_s: float = 120.0
    quota_open_s: float = 600.0
    open_jitter: float = 0.2
    """More or less, so that replicas do not all come back at once."""

    retry_after_max_s: float = 120.0
    """However long an upstream asks us to stay away, we do so no longer than this (jitter not counted)."""
    cooldown_s: float = 1.0
    """After a 429 that does not say how long."""
    cooldown_jitter: float = 0.2
    """On top only: what the upstream asked for is kept."""

    probes: int = 3
    """How many calls may try a half-open upstream at once."""
    probe_successes: int = 3
    """So many close it."""
    probe_lease_s: float = 30.0
    """A probe that is never heard of again gives its place back after this."""
    half_open_max_s: float = 30.0
    """Half-open without a decision for so long is open again."""

    slow_start_s: float = 6.0
    slow_start_shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    """What share of the calls that could go elsewhere is admitted after closing, in equal parts of `slow_start_s`."""

    panic_interval_s: float = 1.0
    """At most one call in this time is let through an open breaker when there is nobody else to ask."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name not in ("mode", "slow_start_shares")):
            number = getattr(self, name)
            _demand(number > 0 or (number == 0 and name in _MAY_BE_ZERO), name, "must be more than 0")
        for name in ("failure_rate", "slow_rate", "broken_rate", "open_jitter", "cooldown_jitter"):
            _demand(getattr(self, name) <= 1, name, "must be a share of one")
        _demand(self.bucket_s <= self.window_s, "bucket_s", "must not be more than window_s")
        shares = self.slow_start_shares
        _demand(bool(shares) and all(0 < share <= 1 for share in shares), "slow_start_shares", "must be shares of one")


_MAY_BE_ZERO = ("open_jitter", "cooldown_jitter", "slow_start_s")


def _demand(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise ConfigurationError(f"breaker.{name} {what}.", param=f"breaker.{name}")
