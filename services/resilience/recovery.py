"""How a breaker comes back: the time it stays open, the probes of half-open, the slow start after closing."""

from collections.abc import Callable

from services.resilience.policy import BreakerPolicy, FailureKind

MAX_DOUBLINGS = 16
"""Far above any limit in use; it only keeps the power small."""


class OpenTimes:
    """For how long to open: doubled with every opening for the same kind of reason, until `forget`."""

    __slots__ = ("_kind", "_openings", "_random")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._kind = FailureKind.TRANSIENT
        self._openings = 0

    def forget(self) -> None:
        """It was well for long enough: begin anew with the shortest time."""
        self._openings = 0

    def next_s(self, policy: BreakerPolicy, kind: FailureKind, retry_after_s: float | None = None) -> float:
        """Return the seconds to stay open, with jitter. What the upstream asked for raises them, up to its cap."""
        if kind is not self._kind:
            self._kind, self._openings = kind, 0
        first_s, max_s = _limits(policy, kind)
        open_s = self._jittered(policy, min(first_s * 2 ** min(self._openings, MAX_DOUBLINGS), max_s))
        self._openings += 1
        if retry_after_s is None:
            return open_s
        return max(open_s, min(retry_after_s, policy.retry_after_max_s))

    def shortest_s(self, policy: BreakerPolicy) -> float:
        """Return the shortest time, with jitter: for an opening that says nothing new about the upstream."""
        return self._jittered(policy, policy.open_s)

    def cooldown_s(self, policy: BreakerPolicy, retry_after_s: float | None) -> float:
        """Return how long to leave alone an upstream that throttles us: never less than it asked for, up to the cap."""
        asked_s = policy.cooldown_s if retry_after_s is None else max(0.0, retry_after_s)
        return min(asked_s, policy.retry_after_max_s) * (1.0 + policy.cooldown_jitter * self._random())

    def _jittered(self, policy: BreakerPolicy, seconds: float) -> float:
        return seconds * (1.0 + policy.open_jitter * (2.0 * self._random() - 1.0))


def _limits(policy: BreakerPolicy, kind: FailureKind) -> tuple[float, float]:
    if kind is FailureKind.QUOTA:
        return policy.quota_open_s, policy.quota_open_s
    if kind is FailureKind.AUTH:
        return policy.auth_open_s, policy.auth_open_max_s
    return policy.open_s, policy.open_max_s


class Probes:
    """The places of half-open. Each is leased: a probe that is lost gives its place back when the lease ends.

    A success takes its place for good, so no more probes are ever out than could still be needed to decide.
    """

    __slots__ = ("_leases", "successes")

    def __init__(self) -> None:
        self._leases: dict[object, float] = {}
        self.successes = 0

    def begin(self, successes: int = 0) -> None:
        """Take every place back."""
        self._leases.clear()
        self.successes = successes

    def has_place(self, policy: BreakerPolicy, now: float) -> bool:
        for lost in [probe for probe, ends in self._leases.items() if ends <= now]:
            del self._leases[lost]
        return len(self._leases) < min(policy.probes, max(1, policy.probe_successes - self.successes))

    def lease(self, probe: object, ends: float) -> None:
        self._leases[probe] = ends

    def give_back(self, probe: object) -> None:
        """Free the place, if `probe` still has one."""
        self._leases.pop(probe, None)

    def succeeded(self, probe: object) -> int:
        """Count a success. Returns how many there are."""
        self.give_back(probe)
        self.successes += 1
        return self.successes

    @property
    def out(self) -> int:
        """How many places are taken."""
        return len(self._leases)


class SlowStart:
    """What share of the traffic a healed upstream is given at first, by an even stride instead of dice."""

    __slots__ = ("_began", "_credit", "ends")

    def __init__(self) -> None:
        self.ends = self._began = float("-inf")
        self._credit = 0.0

    def begin(self, policy: BreakerPolicy, now: float) -> None:
        self._began, self.ends = now, now + policy.slow_start_s
        self._credit = 1.0 - policy.slow_start_shares[0]  # the first call is let in

    def skip(self) -> None:
        self.ends = float("-inf")

    def sheds(self, policy: BreakerPolicy, now: float) -> bool:
        """Whether one more call is beyond the share. Ask once per call, before `ends`."""
        shares = policy.slow_start_shares
        part = int((now - self._began) / (self.ends - self._began) * len(shares))
        self._credit += shares[min(part, len(shares) - 1)]
        if self._credit < 1.0:
            return True
        self._credit -= 1.0
        return False
