"""Whatever happens in whatever order: pybreaker agrees, nothing leaks, and a breaker does as it says."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.resilience.breaker import BreakerOpen, BreakerSnapshot, BreakerState, Permit
from services.resilience.policy import BreakerMode, BreakerPolicy, FailureKind
from tests.services.resilience.breakers import HEALTHY_S, Heard, a_breaker, admitted
from tests.services.runs.fakes import FakeClock

STEPS_S = (0.01, 0.4, 1.0, 2.0, 5.0, 9.0, 31.0, 130.0, 800.0)
RETRY_AFTERS_S = st.sampled_from((None, 0.0, 1.0, 20.0, 1_000.0))
POLICIES = st.builds(
    BreakerPolicy,
    mode=st.sampled_from((BreakerMode.AUTO, BreakerMode.AUTO, *BreakerMode)),
    window_s=st.sampled_from((30.0, 30.0, 10.0)),
    min_calls=st.sampled_from((10, 3)),
    probe_successes=st.integers(1, 4),
    probe_lease_s=st.sampled_from((30.0, 4.0)),
)


class Unreliable(Heard):
    """A listener that hears everything and always raises."""

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        super().changed(before, after)
        raise RuntimeError


class AnyTraffic(RuleBasedStateMachine):
    """Calls that are admitted, judged, forgotten and released, a clock that runs, an operator who changes the rules."""

    @initialize(policy=POLICIES)
    def begin(self, policy: BreakerPolicy) -> None:
        self.clock, self.heard = FakeClock(), Unreliable()
        self.breaker = a_breaker(self.clock, self.heard)
        self.breaker.configure(policy)
        self.policy = policy
        self.permits: list[tuple[Permit, int]] = []
        """Admitted and not released, with the generation of each."""
        self.undecided: set[Permit] = set()
        """Without a verdict."""
        self.panic_at = float("-inf")

    @rule(alternative=st.booleans())
    def admit(self, alternative: bool) -> None:
        """A caller is refused exactly when, why and for how long the breaker says."""
        wait_s, mode = self.breaker.retry_after_s, self.breaker.mode
        refused: BreakerOpen | None = None
        try:
            self._hold(self.breaker.admit(alternative=alternative))
        except BreakerOpen as error:
            refused = error
        if refused is None:
            assert mode is not BreakerMode.FORCED_OPEN
            assert wait_s == 0.0
        elif refused.reason == "slow_start":
            assert alternative
            assert wait_s == 0.0
        else:
            assert mode is not BreakerMode.METRICS_ONLY
            assert refused.retry_after_s == wait_s > 0.0

    @rule()
    def admit_in_panic(self) -> None:
        """Once a second at most, and only past an open breaker that nobody forced."""
        state, mode = self.breaker.state, self.breaker.mode
        permit = self.breaker.admit_in_panic()
        if permit is not None:
            assert (state, mode) == (BreakerState.OPEN, BreakerMode.AUTO)
            assert self.clock.now - self.panic_at >= 1.0
            self.panic_at = self.clock.now
            self._hold(permit)

    def _hold(self, permit: Permit) -> None:
        self.permits.append((permit, self.breaker.snapshot().generation))
        self.undecided.add(permit)

    @precondition(lambda self: self.permits)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(("alive", "alive", "slow", "late", "failed", "failed", "throttled", "release")),
        kind=st.sampled_from((FailureKind.TRANSIENT,) * 6 + (FailureKind.QUOTA, FailureKind.AUTH)),
        retry_after_s=RETRY_AFTERS_S,
    )
    def judge(self, data: st.DataObject, verdict: str, kind: FailureKind, retry_after_s: float | None) -> None:
        """Any verdict on any call, also a second one, and also one that is too late."""
        permit, generation = data.draw(st.sampled_from(self.permits))
        before = self.breaker.snapshot()
        if verdict in ("alive", "slow"):
            permit.alive(HEALTHY_S if verdict == "alive" else 90.0)
        elif verdict == "late":
            permit.late()
        elif verdict == "failed":
            permit.failed(kind, retry_after_s=retry_after_s)
        elif verdict == "throttled":
            permit.throttled(retry_after_s)
        else:
            permit.release()
            self.permits.remove((permit, generation))
        if verdict != "late":
            self.undecided.discard(permit)
        if generation != before.generation:
            assert self.breaker.snapshot() == before

    @rule(seconds=st.sampled_from(STEPS_S))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(policy=POLICIES)
    def configure(self, policy: BreakerPolicy) -> None:
        self.breaker.configure(policy)
        self.policy = policy

    @invariant()
    def pybreaker_agrees(self) -> None:
        """After every step pybreaker shows the same state, and the listeners were told of it."""
        state = self.breaker.state
        assert self.breaker.mirror.current_state == state.value
        assert self.heard.states[-1:] in ([], [state])
        if self.breaker.mode is BreakerMode.FORCED_OPEN:
            assert state is BreakerState.OPEN
        if self.breaker.mode is BreakerMode.METRICS_ONLY:
            assert state is BreakerState.CLOSED

    @invariant()
    def at_most_three_probes_are_out(self) -> None:
        """No place is taken but by an undecided call of this half-open, and never more than three are."""
        seen, probes = self.breaker.snapshot(), self.breaker._circuit.probes
        current = {permit for permit, generation in self.permits if generation == seen.generation} & self.undecided
        assert set(probes._leases) <= current
        assert probes.out <= 3
        assert seen.state is BreakerState.HALF_OPEN or probes.out == 0

    @invariant()
    def rates_are_shares(self) -> None:
        """No call is counted twice, however often it is judged."""
        seen, counts = self.breaker.snapshot(), self.breaker._circuit._window.total
        assert 0.0 <= seen.failure_rate <= 1.0
        assert 0.0 <= seen.slow_rate <= 1.0
        assert 0 <= counts.broken <= counts.alive

    @invariant()
    def every_change_is_a_new_generation(self) -> None:
        """Generations only grow, a state never changes without one, and nobody is told of nothing."""
        for before, after in self.heard.changes[-2:]:
            if after.generation == before.generation:
                assert (before.state, before.mode) != (after.state, after.mode)
                assert before.state is after.state
            else:
                assert after.generation == before.generation + 1

    def teardown(self) -> None:
        """When every call is over no place is taken, and a healed upstream gets its traffic back."""
        if not hasattr(self, "breaker"):
            return
        for permit, _ in self.permits:
            permit.release()
        assert self.breaker._circuit.probes.out == 0
        self.breaker.configure(BreakerPolicy())
        for _ in range(4):
            self.clock.now += self.breaker.retry_after_s
            with self.breaker.admit(alternative=False) as permit:
                permit.alive(HEALTHY_S)
        self.clock.now += 10.0
        assert self.breaker.state is BreakerState.CLOSED
        assert len(admitted(self.breaker, 100)) == 100


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The listener raises thousands of times; formatting each is most of the test's time."""
    caplog.set_level("CRITICAL")


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
