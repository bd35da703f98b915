"""Two agents, each with a provider of its own: what the users of one notice when the other's provider stalls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.arrivals import Reply
from benchmarks.processes import marked
from benchmarks.resilience.figures import Difference, Window, allowed_rise_ms, pooled_difference, told, window
from benchmarks.resilience.load import Cores, put
from benchmarks.resilience.settle import settle
from benchmarks.resilience.site import FIRST_ALONE, SECOND_ALONE, Site

STALL = "no_first_token"
"""The head of a reply, then nothing, for ever."""

_AGENT = "ray::ServeReplica:mainstay:agent"

_HEALTHY_GIVE_UP_S = 10.0
_STALLED_GIVE_UP_S = 1.0
"""What stalls then is hung up by its client, so that the next window begins with nothing under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run; the defaults are what is published. The two agents' requests fall between each other's."""

    first_per_s: float = 8.0
    second_per_s: float = 25.0
    window_s: float = 20.0
    rounds: int = 8

    def quick(self) -> "Plan":
        return replace(self, window_s=8.0, rounds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One window of a round."""

    first: Window
    second: Window
    most_held: int
    """Calls that the first provider had at once."""
    agents: int
    """Agent replicas at its end: stalled runs are work, for which the autoscaler may start more."""
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    healthy: Half
    stalling: Half


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """All rounds."""

    plan: Plan
    warm_up: Round
    """Does not count: a replica that the autoscaler starts costs the machine more than a stall does."""
    rounds: Sequence[Round]

    def shift(self, percentile: float) -> Difference:
        """By how much the second agent's time to first token rose while the first one's provider stalled."""
        stalling = [one.stalling.second for one in self.rounds]
        return pooled_difference(stalling, [one.healthy.second for one in self.rounds], percentile)

    @property
    def allowed_ms(self) -> float:
        """By how much the p99 may rise."""
        return allowed_rise_ms([one.healthy.second for one in self.rounds])


async def measure(site: Site, plan: Plan, say: Callable[[str], None]) -> Isolation:
    """Both windows in every round, the order alternating; one round more goes first."""
    warm_up, *rounds = [await _round(site, plan, number, say) for number in range(1 + plan.rounds)]
    return Isolation(plan=plan, warm_up=warm_up, rounds=rounds)


async def _round(site: Site, plan: Plan, number: int, say: Callable[[str], None]) -> Round:
    halves = {}
    for stalls in (False, True) if number % 2 == 0 else (True, False):
        half = halves[stalls] = await _half(site, plan, stalls=stalls)
        state = "stalling" if stalls else "healthy"
        say(f"round {number}: first provider {state}, second agent's {told(half.second)}, {half.agents} agent replicas")
    return Round(healthy=halves[False], stalling=halves[True])


async def _half(site: Site, plan: Plan, *, stalls: bool) -> Half:
    await settle(site, FIRST_ALONE)
    site.primary.seen.clear()
    site.primary.default = replace(site.healthy, fault=STALL) if stalls else site.healthy
    between_s = 0.5 / plan.second_per_s
    arrivals = [
        site.arrivals(SECOND_ALONE, per_s=plan.second_per_s, count=round(plan.second_per_s * plan.window_s)),
        site.arrivals(
            FIRST_ALONE,
            per_s=plan.first_per_s,
            count=round(plan.first_per_s * plan.window_s),
            begins_s=between_s,
        ),
    ]
    give_up_s = _STALLED_GIVE_UP_S if stalls else _HEALTHY_GIVE_UP_S
    loaded = await put(arrivals, give_up_s=give_up_s, pids=site.mainstay.pids)
    site.primary.default = site.healthy
    return Half(
        first=window(_of(loaded.replies, FIRST_ALONE)),
        second=window(_of(loaded.replies, SECOND_ALONE)),
        most_held=site.primary.seen.peak_open,
        agents=len(marked(_AGENT) & site.mainstay.pids()),
        cores=loaded.cores,
    )


def _of(replies: Sequence[Reply], graph: str) -> list[Reply]:
    return [reply for reply in replies if reply.name == graph]
