"""Who is judged, and what each stands for: the lot, the strata, the caps, and means that come out right."""

import random
from collections import Counter
from uuid import UUID

import pytest

from evaluation.sampler import BaseRate, Sampler, SamplingPolicy, StratumPolicy, lot
from evaluation.strata import LongPolicy, Strata, Tail
from services.samples import Stratum
from services.types import RunOutcome, RunStatus, Usage
from tests.services.runs.fakes import FakeClock, a_run

DONE, FAILED = (
    RunOutcome(status=status, messages=(), usage=Usage(output_tokens=10))
    for status in (RunStatus.COMPLETED, RunStatus.FAILED)
)


def ids(count: int, seed: int = 1) -> list[UUID]:
    draw = random.Random(seed)
    return [UUID(int=draw.getrandbits(128)) for _ in range(count)]


def a_sampler(clock: FakeClock | None = None, **policy: object) -> Sampler:
    return Sampler(SamplingPolicy(**policy), clock=clock or FakeClock())  # type: ignore[arg-type]


def test_a_lot_is_the_runs_own_and_evenly_spread() -> None:
    """The same in every process, in [0, 1), and in each tenth of it as often as in any other."""
    assert lot(UUID(int=7)) == lot(UUID(int=7)) == 0.5072065898495414
    tenths = Counter(int(lot(run_id) * 10) for run_id in ids(20_000))
    assert sorted(tenths) == list(range(10))
    assert all(1_800 < count < 2_200 for count in tenths.values())


def test_a_stratum_is_taken_at_its_rate_and_says_who_is_of_the_fair_share() -> None:
    """Whoever is taken at the base rate is taken at any higher one; the weight is one over the rate that held."""
    sampler = a_sampler(base_rate=0.05, strata={Stratum.FAILED: StratumPolicy(rate=0.5, per_minute=None)})
    runs = ids(20_000)
    ordinary = {run: taken for run in runs if (taken := sampler.take(run, "react", "acme", Stratum.ORDINARY))}
    failed = {run: taken for run in runs if (taken := sampler.take(run, "react", "acme", Stratum.FAILED))}
    assert 850 < len(ordinary) < 1_150
    assert 9_700 < len(failed) < 10_300
    assert {taken.weight for taken in ordinary.values()} == {20.0}
    assert {taken.weight for taken in failed.values()} == {2.0}
    assert {run for run, taken in failed.items() if taken.base} == set(ordinary)
    assert all(taken.base for taken in ordinary.values())


def test_the_base_rate_is_that_of_the_first_rule_that_fits() -> None:
    """By graph, by tenant, by both; and where it is 0 nothing is taken, of whatever stratum."""
    rates = (
        BaseRate(rate=0.0, tenant="private"),
        BaseRate(rate=0.5, graph="react", tenant="acme"),
        BaseRate(rate=0.25, graph="react"),
    )
    sampler = a_sampler(base_rate=0.125, rates=rates)
    asked = [("react", "acme"), ("react", "evil"), ("plan", "acme"), ("react", "private")]
    assert [sampler.rate(*kind, Stratum.ORDINARY) for kind in asked] == [0.5, 0.25, 0.125, 0.0]
    assert not any(sampler.take(run, "plan", "private", Stratum.FLAGGED) for run in ids(100))


def test_a_cap_lowers_the_rate_of_what_comes_next() -> None:
    """By how many there were in the minute before, or already in this one; never below the base rate; and it recovers."""
    clock = FakeClock()
    clock.now = 6_000.0
    strata = {Stratum.FAILED: StratumPolicy(rate=1.0, per_minute=10.0)}
    sampler = a_sampler(clock, base_rate=0.01, strata=strata)
    burst = [sampler.rate("react", "acme", Stratum.FAILED) for _ in range(100)]
    assert burst[:10] == [1.0] * 10
    assert burst[99] == 0.1
    clock.now += 60.0
    assert sampler.rate("react", "acme", Stratum.FAILED) == 0.1
    assert sampler.rate("react", "acme", Stratum.FLAGGED) == 1.0
    clock.now += 60.0
    assert sampler.rate("react", "acme", Stratum.FAILED) == 1.0
    assert [sampler.rate("react", "acme", Stratum.FAILED) for _ in range(5_000)][-1] == 0.01


def test_the_weighted_mean_is_that_of_all_runs_while_caps_bite() -> None:
    """Strata that differ strongly, bursts above every cap: unweighted the mean is far off, weighted it is not."""
    clock, draw = FakeClock(), random.Random(7)
    strata = {stratum: StratumPolicy(per_minute=20.0) for stratum in Stratum}
    sampler = a_sampler(clock, base_rate=0.1, strata=strata)
    kinds = {Stratum.ORDINARY: (0.9, 0.85), Stratum.FAILED: (0.04, 0.1), Stratum.FLAGGED: (0.06, 0.4)}
    full, plain, fair, weighted, weights = [], [], [], 0.0, 0.0
    for number, run_id in enumerate(ids(40_000)):
        clock.now += 0.001 if number // 5_000 % 2 else 0.06
        [stratum] = draw.choices(list(kinds), [share for share, _ in kinds.values()])
        score = min(1.0, max(0.0, draw.gauss(kinds[stratum][1], 0.1)))
        full.append(score)
        taken = sampler.take(run_id, "react", "acme", stratum)
        if taken is not None:
            plain.append(score)
            fair += [score] if taken.base else []
            weighted, weights = weighted + taken.weight * score, weights + taken.weight
    true = sum(full) / len(full)
    assert abs(sum(plain) / len(plain) - true) > 0.02
    assert abs(weighted / weights - true) < 0.01
    assert abs(sum(fair) / len(fair) - true) < 0.01
    assert abs(weights / len(full) - 1.0) < 0.05


def test_a_tail_begins_where_the_quantile_of_what_came_before_does() -> None:
    """With few before it nothing is beyond; what was long ago is forgotten; equals are not beyond one another."""
    tail = Tail(LongPolicy(quantile=0.9, window=20, least=10))
    assert [tail.beyond(1_000.0 if number == 5 else 1.0) for number in range(10)] == [False] * 10
    assert tail.beyond(2.0)
    assert not tail.beyond(1.0)
    for _ in range(20):
        tail.beyond(50.0)
    assert not tail.beyond(50.0)
    assert tail.beyond(51.0)


@pytest.mark.parametrize(
    ("run", "outcome", "duration_s", "stratum"),
    [
        ({"flagged": True}, FAILED, 99.0, Stratum.FLAGGED),
        ({}, FAILED, 99.0, Stratum.FAILED),
        ({}, DONE, 99.0, Stratum.LONG),
        ({"graph": "other"}, DONE, 99.0, Stratum.ORDINARY),
        ({}, DONE, 1.0, Stratum.ORDINARY),
    ],
)
def test_a_run_is_of_the_first_stratum_that_it_fits(
    run: dict[str, object], outcome: RunOutcome, duration_s: float, stratum: Stratum
) -> None:
    """And what is long for one graph is not for another."""
    strata = Strata(LongPolicy(least=10))
    for _ in range(10):
        strata.of(a_run(), DONE, 1.0)
    assert strata.of(a_run(**run), outcome, duration_s) is stratum


def test_a_configured_bound_takes_the_place_of_the_quantile() -> None:
    """From the first run on; and what has no bound goes on by its quantile."""
    strata = Strata(LongPolicy(least=1, duration_s=5.0))
    strata.of(a_run(), DONE, 1.0)
    assert strata.of(a_run(), DONE, 4.0) is Stratum.ORDINARY
    assert strata.of(a_run(), DONE, 6.0) is Stratum.LONG
    wordy = RunOutcome(status=RunStatus.COMPLETED, messages=(), usage=Usage(output_tokens=11))
    assert strata.of(a_run(), wordy, 1.0) is Stratum.LONG
