"""The first of two providers is dead: what its users notice, how often it is asked all the same, and how soon it is back."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.arrivals import Reply
from benchmarks.resilience.figures import Difference, Window, pooled_difference, told, window
from benchmarks.resilience.load import Cores, put
from benchmarks.resilience.settle import settle
from benchmarks.resilience.site import BOTH, PRIMARY, Site, turn_of
from benchmarks.upstream import Upstream

REFUSED, UNAVAILABLE = "refused", "status_503"
DEATHS: Mapping[str, str] = {REFUSED: "connection refused", UNAVAILABLE: "503 to everything"}

MAX_ATTEMPTS = 1_100
"""For 1,000 requests: one retry or probe for ten of them."""
MAX_BACK_S = 20.0

_GIVE_UP_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run; the defaults are what is published."""

    per_s: float = 50.0
    requests: int = 1_000
    heal_s: float = 22.0
    """For how long the load goes on after the provider is well again."""
    rounds: int = 4
    deaths: Sequence[str] = tuple(DEATHS)

    def quick(self) -> "Plan":
        return replace(self, requests=200, rounds=1)

    @property
    def healing(self) -> int:
        """Requests after the heal."""
        return round(self.heal_s * self.per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """A round's load with both providers well."""

    window: Window
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The same load with the first provider dead, then healed while the load goes on."""

    death: str
    dead: Window
    """What was due while it was dead."""
    healed: Window
    """What was due afterwards."""
    attempts: int
    """At both providers, for the turns that were due while the first was dead."""
    vain_attempts: int
    """Those at the dead provider, as Mainstay counts them: what refuses a connection keeps no record of it."""
    seen_vain_attempts: int | None
    """The same by the provider's own record, where it could keep one."""
    openings: int
    back_s: float
    """From the heal to the last request that still went to the second one."""
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    healthy: Healthy
    outages: Mapping[str, Outage]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOver:
    """All rounds."""

    plan: Plan
    rounds: Sequence[Round]

    def added_ttft(self, death: str, percentile: float) -> Difference:
        """What the outage added."""
        dead = [one.outages[death].dead for one in self.rounds]
        return pooled_difference(dead, [one.healthy.window for one in self.rounds], percentile)


async def measure(site: Site, plan: Plan, say: Callable[[str], None]) -> FailOver:
    """Healthy and each kind of death in every round, in rotating order."""
    kinds = ["healthy", *plan.deaths]
    rounds = []
    for number in range(plan.rounds):
        start = number % len(kinds)
        healthy: Healthy | None = None
        outages: dict[str, Outage] = {}
        for kind in (*kinds[start:], *kinds[:start]):
            await settle(site, BOTH)
            if kind == "healthy":
                healthy = await _healthy(site, plan)
                say(f"round {number + 1}: healthy, {told(healthy.window)}")
            else:
                outages[kind] = await _outage(site, plan, kind)
                say(
                    f"round {number + 1}: {DEATHS[kind]}, {told(outages[kind].dead)}, back after {outages[kind].back_s:.1f} s"
                )
        assert healthy is not None  # noqa: S101  it is one of the kinds
        rounds.append(Round(healthy=healthy, outages=outages))
    return FailOver(plan=plan, rounds=rounds)


async def _healthy(site: Site, plan: Plan) -> Healthy:
    arrivals = site.arrivals(BOTH, per_s=plan.per_s, count=plan.requests)
    loaded = await put([arrivals], give_up_s=_GIVE_UP_S, pids=site.mainstay.pids)
    return Healthy(window=window(loaded.replies), cores=loaded.cores)


async def _outage(site: Site, plan: Plan, death: str) -> Outage:
    before = await site.counters()
    dead_s = plan.requests / plan.per_s
    await _die(site, death)
    for upstream in (site.primary, site.secondary):
        upstream.seen.clear()
    healed_s = 0.0

    async def heal_in_time(begin_us: int) -> None:
        nonlocal healed_s
        await asyncio.sleep(begin_us / 1e6 + dead_s - time.monotonic())
        await _revive(site, death)
        healed_s = time.monotonic()

    arrivals = site.arrivals(BOTH, per_s=plan.per_s, count=plan.requests + plan.healing)
    loaded = await put([arrivals], give_up_s=_GIVE_UP_S, pids=site.mainstay.pids, meanwhile=heal_in_time)
    after = await site.counters()
    dead, healed = _split(loaded.replies, loaded.begin_us + round(1e6 * dead_s))
    vain = after.failed_calls(PRIMARY) - before.failed_calls(PRIMARY)
    answered_s = [seen.received_s for seen in site.secondary.seen.requests]
    return Outage(
        death=death,
        dead=window(dead),
        healed=window(healed),
        attempts=vain + sum(_taken(upstream, len(dead)) for upstream in (site.primary, site.secondary)),
        vain_attempts=vain,
        seen_vain_attempts=_struck(site.primary) if death == UNAVAILABLE else None,
        openings=after.openings(PRIMARY) - before.openings(PRIMARY),
        back_s=max(answered_s, default=healed_s) - healed_s,
        cores=loaded.cores,
    )


def _taken(upstream: Upstream, turns: int) -> int:
    """Attempts at an upstream that it did not fail, for the first so many turns."""
    numbers = [turn_of(seen) for seen in upstream.seen.requests if seen.fault is None]
    return sum(number is not None and number < turns for number in numbers)


def _struck(upstream: Upstream) -> int:
    return sum(seen.fault is not None for seen in upstream.seen.requests)


def _split(replies: Sequence[Reply], at_us: int) -> tuple[list[Reply], list[Reply]]:
    """What was due before a moment, and from then on."""
    return [one for one in replies if one.due_us < at_us], [one for one in replies if one.due_us >= at_us]


async def _die(site: Site, death: str) -> None:
    if death == REFUSED:
        await site.primary.stop()
    else:
        site.primary.default = replace(site.healthy, fault=death)


async def _revive(site: Site, death: str) -> None:
    if death == REFUSED:
        await site.primary.start()
    else:
        site.primary.default = site.healthy
