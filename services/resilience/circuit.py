"""The breaker's truth: its state, and what each verdict does to it."""

from collections.abc import Callable, Sequence
from typing import Literal

from services.resilience.baseline import LatencyBaseline
from services.resilience.mirror import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    BreakerListener,
    BreakerSnapshot,
    BreakerState,
    Mirror,
    Reason,
)
from services.resilience.policy import BreakerMode, BreakerPolicy, FailureKind
from services.resilience.recovery import OpenTimes, Probes, SlowStart
from services.resilience.window import Bucket, RollingWindow

NEVER = float("-inf")

SOON_S = 1.0
"""What a caller is told to wait when it is a matter of other calls, not of time: a probe is out, a share is used up."""

Refusal = Literal["open", "half_open", "slow_start", "cooldown", "forced_open"]


class Circuit:
    """One state machine on one event loop. Every change begins a new generation, and verdicts of an older one are dropped.

    So the state says what kind of call a verdict is about: closed, an ordinary one; half-open, a probe; open, one that was
    let through in panic. The verdicts (`alive`, `late`, `failed`, `broke`) return the bucket that now counts the call, if
    one does, and are given it back with the next verdict on the same call.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        listeners: Sequence[BreakerListener],
    ) -> None:
        self.policy = BreakerPolicy()
        self.clock = clock
        self.state: BreakerState = CLOSED
        self.generation = 0
        self.kind = FailureKind.TRANSIENT  # of what opened it last
        self.slow_after_s = self.policy.slow_floor_s
        self.cooldown_until = NEVER
        self.probes = Probes()
        self.slow_start = SlowStart()
        self.mirror = Mirror(name, listeners)
        self._name = name
        self._until = NEVER  # the end of open, unless forced, or of half-open
        self._reason = Reason.NONE
        self._consecutive_failures = 0
        self._window = RollingWindow(self.policy.window_s, self.policy.bucket_s)
        self._baseline = LatencyBaseline()
        self._open_times = OpenTimes(random)
        self.configure(policy)

    def generation_at(self, now: float) -> int:
        """Return the generation whose verdicts count at `now`: half-open that ran out without a decision is open again."""
        if self.state is HALF_OPEN and now >= self._until:
            # Counted from when it ran out: if nobody has called since, the next caller need not wait for it again. And
            # not for long, since nothing was learnt.
            until = self._until + self._open_times.shortest_s(self.policy)
            self._change(now, OPEN, reason=Reason.PROBES_UNDECIDED, until=until)
        return self.generation

    def refusal_at(self, now: float) -> tuple[Refusal, float] | None:
        """Return why a call would be refused, slow start apart, and for how many seconds; None when it would not."""
        if self.state is OPEN:
            if self.policy.mode is BreakerMode.FORCED_OPEN:
                return "forced_open", self.policy.retry_after_max_s
            if now < self._until:
                return "open", max(self._until, self.cooldown_until) - now
        if now < self.cooldown_until and self.policy.mode is not BreakerMode.METRICS_ONLY:
            return "cooldown", self.cooldown_until - now
        if self.state is HALF_OPEN and not self.probes.has_place(self.policy, now):
            return "half_open", SOON_S
        return None

    def snapshot_at(self, now: float) -> BreakerSnapshot:
        """Return what is to be seen from outside."""
        self._window.at(now)
        counts, refusal = self._window.total, self.refusal_at(now)
        return BreakerSnapshot(
            name=self._name,
            state=self.state,
            mode=self.policy.mode,
            generation=self.generation,
            reason=self._reason,
            retry_after_s=refusal[1] if refusal else 0.0,
            calls=counts.calls,
            failure_rate=counts.failure_rate,
            slow_rate=counts.slow_rate,
            cooldown_s=max(0.0, self.cooldown_until - now),
        )

    def configure(self, policy: BreakerPolicy) -> None:
        """Change the rules from now on. Times that already run keep their end; another window begins empty.

        Leaving FORCED_OPEN goes to half-open: what was kept away from is probed before it gets all traffic again.
        Entering METRICS_ONLY closes, at once and without a slow start; leaving it keeps what was counted.
        """
        now = self.clock()
        before, was = self.snapshot_at(now), self.policy
        self.policy = policy
        self._set_slow_after()
        if (policy.window_s, policy.bucket_s) != (was.window_s, was.bucket_s):
            self._window = RollingWindow(policy.window_s, policy.bucket_s)
        if policy.mode is was.mode:
            return
        if policy.mode is BreakerMode.METRICS_ONLY:
            self.slow_start.skip()
        if policy.mode is BreakerMode.FORCED_OPEN:
            self._change(now, OPEN, reason=Reason.FORCED_OPEN, before=before)
        elif policy.mode is BreakerMode.METRICS_ONLY and self.state is not CLOSED:
            self._change(now, CLOSED, before=before)
        elif was.mode is BreakerMode.FORCED_OPEN:
            self.half_open(now, before=before)
        else:
            self.mirror.show(before, self.snapshot_at(now))

    def alive(
        self, probe: object, now: float, latency_s: float, *, late: bool, forgiven: bool = False
    ) -> Bucket | None:
        """The first content came. `late` calls are in the window already."""
        long = late or latency_s > self.slow_after_s
        slow = long and not forgiven
        if not long and self._baseline.add(latency_s):
            self._set_slow_after()
        if self.state is CLOSED:
            self._consecutive_failures = 0
            bucket = self._window.at(now)
            bucket.add(calls=not late, slow=slow and not late, alive=1)
            self._judge(now)
            return bucket
        if self.state is HALF_OPEN:
            if slow:
                self._open(now, FailureKind.TRANSIENT, Reason.PROBE_SLOW)
            elif self.probes.succeeded(probe) >= self.policy.probe_successes:
                self._close(now)
        elif not slow:
            self._came_through(now)
        return None

    def late(self, now: float) -> Bucket | None:
        """No content for longer than healthy calls take."""
        bucket: Bucket | None = None
        if self.state is CLOSED:
            bucket = self._window.at(now)
            bucket.add(calls=1, slow=1)
            self._judge(now)
        elif self.state is HALF_OPEN:
            self._open(now, FailureKind.TRANSIENT, Reason.PROBE_SLOW)
        return bucket

    def failed(
        self, now: float, kind: FailureKind, retry_after_s: float | None, *, counted: Bucket | None, began: bool
    ) -> None:
        """The call failed, before its first content or after (`began`)."""
        closed = self.state is CLOSED
        if closed:
            self._count_failure(now, counted, began=began)
        if kind is not FailureKind.TRANSIENT:
            self._open(now, kind, Reason(kind.value))
        elif closed:
            self._judge(now, retry_after_s)
        elif self.state is HALF_OPEN:
            self._open(now, kind, Reason.PROBE_FAILED, retry_after_s)

    def throttled(self, probe: object, now: float, retry_after_s: float | None) -> None:
        """The upstream is well, and asks for fewer calls."""
        self.probes.give_back(probe)
        cooldown_s = self._open_times.cooldown_s(self.policy, retry_after_s)
        self.cooldown_until = max(self.cooldown_until, now + cooldown_s)

    def _count_failure(self, now: float, counted: Bucket | None, *, began: bool) -> None:
        bucket = self._window.at(now)
        if began:
            if counted is not None:
                counted.add(alive=-1)
            bucket.add(alive=1, broken=1)
            return
        self._consecutive_failures += 1
        if counted is not None:
            counted.add(calls=-1, slow=-1)
        bucket.add(calls=1, failures=1, slow=counted is not None)

    def _judge(self, now: float, retry_after_s: float | None = None) -> None:
        """Open if what is in the window is too much, by the verdict that makes it so, a good one included."""
        policy, counts = self.policy, self._window.total
        if self._consecutive_failures >= policy.consecutive_failures:
            self._open(now, FailureKind.TRANSIENT, Reason.CONSECUTIVE_FAILURES, retry_after_s)
        elif counts.calls >= policy.min_calls and counts.failure_rate >= policy.failure_rate:
            self._open(now, FailureKind.TRANSIENT, Reason.FAILURE_RATE, retry_after_s)
        elif counts.calls >= policy.min_calls and counts.slow_rate >= policy.slow_rate:
            self._open(now, FailureKind.TRANSIENT, Reason.SLOW_RATE, retry_after_s)
        elif counts.alive >= policy.min_calls and counts.broken_rate >= policy.broken_rate:
            self._open(now, FailureKind.TRANSIENT, Reason.BROKEN_RATE, retry_after_s)

    def _set_slow_after(self) -> None:
        self.slow_after_s = max(self.policy.slow_floor_s, self.policy.slow_factor * self._baseline.p95_s)

    def half_open(self, now: float, *, successes: int = 0, before: BreakerSnapshot | None = None) -> None:
        """Let probes through, for a while."""
        until = now + self.policy.half_open_max_s
        self._change(now, HALF_OPEN, reason=self._reason, until=until, successes=successes, before=before)

    def _came_through(self, now: float) -> None:
        """A call that was let through in panic succeeded: it is the first probe."""
        if self.policy.probe_successes > 1:
            self.half_open(now, successes=1)
        else:
            self._close(now)

    def _open(self, now: float, kind: FailureKind, reason: Reason, retry_after_s: float | None = None) -> None:
        if self.policy.mode is BreakerMode.METRICS_ONLY:
            return
        if self.state is CLOSED and now >= self.slow_start.ends:
            self._open_times.forget()
        self.kind = kind
        until = now + self._open_times.next_s(self.policy, kind, retry_after_s)
        self._change(now, OPEN, reason=reason, until=until)

    def _close(self, now: float) -> None:
        self.slow_start.begin(self.policy, now)
        self._change(now, CLOSED)

    def _change(
        self,
        now: float,
        state: BreakerState,
        *,
        reason: Reason = Reason.NONE,
        until: float = NEVER,
        successes: int = 0,
        before: BreakerSnapshot | None = None,
    ) -> None:
        """Begin a new generation, then show it: whoever is told finds the change made, and may cause the next one."""
        before = before or self.snapshot_at(now)
        self.state, self._reason, self._until = state, reason, until
        self.generation += 1
        if state is CLOSED:  # until then the window shows what it was opened for
            self._window = RollingWindow(self.policy.window_s, self.policy.bucket_s)
        self._consecutive_failures = 0
        self.probes.begin(successes)
        self.mirror.show(before, self.snapshot_at(now))
