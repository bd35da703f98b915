"""Every run is judged, and the judge is ill: what the users notice whose runs they are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.resilience.figures import Difference, Window, allowed_rise_ms, pooled_difference, told, window
from benchmarks.resilience.load import Cores, put
from benchmarks.resilience.settle import settle
from benchmarks.resilience.site import FIRST_ALONE, JUDGED, Site
from benchmarks.upstream import Directive

WELL, DEAD = "well", "dead"
ILLNESSES: Mapping[str, str] = {
    DEAD: "refuses connections",
    "slow": "takes calls and never answers",
    "flooding": "sends text without end, as fast as it is read",
}
_FAULTS: Mapping[str, Directive] = {"slow": Directive(fault="hang"), "flooding": Directive(fault="flood")}

_GIVE_UP_S = 10.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run; the defaults are what is published. A judge has rested when it was asked nothing for `rest_s`."""

    illnesses: tuple[str, ...] = tuple(ILLNESSES)
    per_s: float = 25.0
    window_s: float = 20.0
    rounds: int = 8
    rest_s: float = 3.0
    rested_within_s: float = 120.0

    def quick(self) -> "Plan":
        return replace(self, window_s=8.0, rounds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One window of a round. `asked` is how often the judge was, `dropped` how many samples the site gave up so far."""

    window: Window
    asked: int
    dropped: int
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    well: Half
    ill: Mapping[str, Half]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """All rounds."""

    plan: Plan
    warm_up: Round
    """Does not count."""
    rounds: Sequence[Round]

    def shift(self, illness: str, percentile: float) -> Difference:
        """By how much the time to first token rose while the judge was ill."""
        return pooled_difference([one.window for one in self.halves(illness)], self._well, percentile)

    def halves(self, illness: str) -> list[Half]:
        """The windows of one illness, in all rounds."""
        return [one.ill[illness] for one in self.rounds]

    @property
    def allowed_ms(self) -> float:
        """By how much the p99 may rise."""
        return allowed_rise_ms(self._well)

    @property
    def _well(self) -> list[Window]:
        return [one.well.window for one in self.rounds]


async def measure(site: Site, plan: Plan, say: Callable[[str], None]) -> Judging:
    """A window with the judge well and one for each illness in every round, in rotating order; one round more goes first."""
    warm_up, *rounds = [await _round(site, plan, number, say) for number in range(1 + plan.rounds)]
    return Judging(plan=plan, warm_up=warm_up, rounds=rounds)


async def _round(site: Site, plan: Plan, number: int, say: Callable[[str], None]) -> Round:
    states = (WELL, *plan.illnesses)
    first = number % len(states)
    halves = {}
    for state in states[first:] + states[:first]:
        half = halves[state] = await _half(site, plan, state)
        say(
            f"round {number}: judge {state}, {told(half.window)}, asked {half.asked} times, {half.dropped} dropped so far"
        )
    return Round(well=halves[WELL], ill={illness: halves[illness] for illness in plan.illnesses})


async def _half(site: Site, plan: Plan, state: str) -> Half:
    await settle(site, FIRST_ALONE)
    await _rested(site, plan)
    site.judge.seen.clear()
    arrivals = site.arrivals(JUDGED, per_s=plan.per_s, count=round(plan.per_s * plan.window_s))
    well = site.judge.default
    if state == DEAD:
        await site.judge.stop()
    else:
        site.judge.default = _FAULTS.get(state, well)
    try:
        loaded = await put([arrivals], give_up_s=_GIVE_UP_S, pids=site.mainstay.pids)
    finally:
        site.judge.default = well
        if state == DEAD:
            await site.judge.start()
    return Half(
        window=window(loaded.replies),
        asked=site.judge.seen.received,
        dropped=(await site.counters()).dropped_samples,
        cores=loaded.cores,
    )


async def _rested(site: Site, plan: Plan) -> None:
    """Wait until the judge is asked nothing any more: what waited in the evaluator is judged, or given up."""
    seen = site.judge.seen
    async with asyncio.timeout(plan.rested_within_s):
        rested_s, received = 0.0, seen.received
        while rested_s < plan.rest_s:
            await asyncio.sleep(min(_POLL_S, plan.rest_s))
            quiet = seen.open == 0 and seen.received == received
            rested_s, received = (rested_s + _POLL_S if quiet else 0.0), seen.received
