"""Two tenants: what the users of one notice when the other sends far more than its plan allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.arrivals import Reply
from benchmarks.resilience.figures import Difference, Window, allowed_rise_ms, pooled_difference, told, window
from benchmarks.resilience.load import Cores, put
from benchmarks.resilience.settle import settle
from benchmarks.resilience.site import FIRST_ALONE, FLOODER, SECOND_ALONE, Site

_GIVE_UP_S = 10.0
_FLOOD = "flood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run; the defaults are what is published."""

    floods_per_s: tuple[float, ...] = (100.0, 300.0)
    calm_per_s: float = 25.0
    window_s: float = 20.0
    rounds: int = 8

    def quick(self) -> "Plan":
        return replace(self, window_s=8.0, rounds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One window of a round: the calm tenant's turns, and what came of the flood, if there was one."""

    flood_per_s: float
    calm: Window
    flood: Window
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    alone: Half
    flooded: tuple[Half, ...]
    """In the order of `Plan.floods_per_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """All rounds."""

    plan: Plan
    warm_up: Round
    """Does not count."""
    rounds: Sequence[Round]

    def shift(self, flood_per_s: float, percentile: float) -> Difference:
        """By how much the calm tenant's time to first token rose under a flood."""
        flooded = [half.calm for half in self.halves(flood_per_s)]
        return pooled_difference(flooded, [one.alone.calm for one in self.rounds], percentile)

    def halves(self, flood_per_s: float) -> list[Half]:
        """The windows of one flood, in all rounds."""
        return [half for one in self.rounds for half in one.flooded if half.flood_per_s == flood_per_s]

    @property
    def allowed_ms(self) -> float:
        """By how much the p99 may rise."""
        return allowed_rise_ms([one.alone.calm for one in self.rounds])


async def measure(site: Site, plan: Plan, say: Callable[[str], None]) -> Flood:
    """All windows in every round, their order rotating; one round more goes first."""
    key = await site.mainstay.key_of(FLOODER)
    warm_up, *rounds = [await _round(site, plan, key, number, say) for number in range(1 + plan.rounds)]
    return Flood(plan=plan, warm_up=warm_up, rounds=rounds)


async def _round(site: Site, plan: Plan, key: str, number: int, say: Callable[[str], None]) -> Round:
    floods = (0.0, *plan.floods_per_s)
    first = number % len(floods)
    halves = {}
    for per_s in floods[first:] + floods[:first]:
        half = halves[per_s] = await _half(site, plan, key, per_s)
        say(f"round {number}: flood of {per_s:g} a second, calm tenant's {told(half.calm)}")
    return Round(alone=halves[0.0], flooded=tuple(halves[per_s] for per_s in plan.floods_per_s))


async def _half(site: Site, plan: Plan, flooders_key: str, flood_per_s: float) -> Half:
    await settle(site, FIRST_ALONE)
    calm = site.arrivals(SECOND_ALONE, per_s=plan.calm_per_s, count=round(plan.calm_per_s * plan.window_s))
    arrivals = [calm]
    if flood_per_s:
        headers = {"authorization": f"Bearer {flooders_key}"}
        count = round(flood_per_s * plan.window_s)
        arrivals.append(replace(calm, name=_FLOOD, headers=headers, per_s=flood_per_s, count=count))
    loaded = await put(arrivals, give_up_s=_GIVE_UP_S, pids=site.mainstay.pids)
    return Half(
        flood_per_s=flood_per_s,
        calm=window(_of(loaded.replies, SECOND_ALONE)),
        flood=window(_of(loaded.replies, _FLOOD)),
        cores=loaded.cores,
    )


def _of(replies: Sequence[Reply], name: str) -> list[Reply]:
    return [reply for reply in replies if reply.name == name]
