"""What was measured, in Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.report import machine, number
from benchmarks.resilience import flood, judging
from benchmarks.resilience.fail_over import DEATHS, MAX_ATTEMPTS, MAX_BACK_S, FailOver, Outage
from benchmarks.resilience.figures import Difference, Window
from benchmarks.resilience.flood import Flood
from benchmarks.resilience.isolation import Isolation, Round
from benchmarks.resilience.judging import ILLNESSES, Judging
from benchmarks.resilience.load import Cores


def fail_over_section(found: FailOver) -> str:
    """Each run of each round, then what the outage added."""
    plan = found.plan
    lines = [
        f"{_conditions()} {plan.requests:,} turns at {plan.per_s:g} a second, on schedule, for an agent with two "
        f"providers; {len(found.rounds)} rounds, in each the same load with both well and with the first one dead "
        f"from before the first turn, in rotating order. Then the first one is healed and the load goes on for "
        f"{plan.heal_s:g} s. TTFT is counted from when a turn was due, as p50 / p99. Attempts are those at both "
        f"providers while the first was dead (in brackets: at it, in vain). Back is the time from the heal to the last "
        "turn that the second one answered.",
        "",
        "| round | first provider | TTFT, ms | client errors, dead / healed | attempts | openings | back, s |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for round_number, one in enumerate(found.rounds, start=1):
        lines.append(f"| {round_number} | well | {_ttft(one.healthy.window)} | {one.healthy.window.failed} | | | |")
        lines += [_outage(round_number, one.outages[death]) for death in plan.deaths]
    lines += ["", "| the first provider's death | adds to TTFT p50, ms | to TTFT p99, ms |", "|---|---:|---:|"]
    for death in plan.deaths:
        p50, p99 = found.added_ttft(death, 50), found.added_ttft(death, 99)
        lines.append(f"| {DEATHS[death]} | {_interval(p50)} | {_interval(p99)} |")
    outages = [one.outages[death] for one in found.rounds for death in plan.deaths]
    errors = sum(outage.dead.failed + outage.healed.failed for outage in outages)
    lines += [
        "",
        f"Client errors in all outages: {errors}. Most attempts for {plan.requests:,} turns: "
        f"{max(outage.attempts for outage in outages):,} ({MAX_ATTEMPTS:,} allowed). Slowest return of all traffic: "
        f"{max(outage.back_s for outage in outages):.1f} s ({MAX_BACK_S:g} s allowed). "
        f"{_cores([*(one.healthy.cores for one in found.rounds), *(outage.cores for outage in outages)])}",
    ]
    return "\n".join(lines)


def isolation_section(found: Isolation) -> str:
    """Each round, then the shift."""
    plan = found.plan
    lines = [
        f"{_conditions()} Two agents with a provider each: {plan.first_per_s:g} turns a second for the first, "
        f"{plan.second_per_s:g} for the second, on schedule, in windows of {plan.window_s:g} s. In every round there is "
        "one with both providers well and one in which the first sends a head and nothing more, in alternating order. "
        "TTFT is the second agent's, counted from when a turn was due, as p50 / p99.",
        "",
        "| round | TTFT with the first well, ms | with the first stalling, ms | its calls held at once "
        "| second agent's errors | first agent's turns refused or hung up | agent replicas, well and stalling |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_halves("warm-up", found.warm_up)]
    lines += [_halves(str(round_number), one) for round_number, one in enumerate(found.rounds, start=1)]
    halves = [half for one in found.rounds for half in (one.healthy, one.stalling)]
    lines += [
        "",
        f"Over the rounds that count, the second agent's p99 TTFT rises by {_interval(found.shift(99))} ms; "
        f"{found.allowed_ms:.0f} ms are allowed (the larger of 20 % and 30 ms). Its p50 rises by "
        f"{_interval(found.shift(50))} ms. "
        f"{_cores(half.cores for half in halves)}",
    ]
    return "\n".join(lines)


def flood_section(found: Flood) -> str:
    """Each round, then the shift."""
    plan = found.plan
    lines = [
        f"{_conditions()} Two tenants: {plan.calm_per_s:g} turns a second of one, on schedule, in windows of "
        f"{plan.window_s:g} s. In every round there is one in which that is all, and one for each flood, in which the other "
        "tenant sends so many turns a second, of which its plan allows 60 a minute, 10 in a burst, and 8 at once. TTFT is the "
        "first one's, counted from when a turn was due, as p50 / p99.",
        "",
        "| round | flood, turns/s | TTFT alone, ms | TTFT in the flood, ms | its errors | the flood's turns answered |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += _flooded("warm-up", found.warm_up)
    lines += [line for place, one in enumerate(found.rounds, start=1) for line in _flooded(str(place), one)]
    lines += [
        "",
        "Over the rounds that count:",
        "",
        "| flood, turns/s | p50 TTFT rises by, ms | p99 TTFT rises by, ms |",
    ]
    lines += ["|---:|---:|---:|"]
    lines += [
        f"| {per_s:g} | {_interval(found.shift(per_s, 50))} | {_interval(found.shift(per_s, 99))} |"
        for per_s in plan.floods_per_s
    ]
    lines += [
        "",
        f"The p99 may rise by {found.allowed_ms:.0f} ms (the larger of 20 % and 30 ms).",
        *(
            f"With a flood of {per_s:g}: {_cores(half.cores for half in found.halves(per_s))}"
            for per_s in plan.floods_per_s
        ),
    ]
    return "\n".join(lines)


def judging_section(found: Judging) -> str:
    """Each round, then the shifts."""
    plan = found.plan
    lines = [
        f"{_conditions()} {plan.per_s:g} turns a second on schedule, all of which are to be judged, in windows of "
        f"{plan.window_s:g} s: in every round one with the judge well and one for each illness, in rotating order. TTFT is "
        "counted from when a turn was due, as p50 / p99.",
        "",
        "| round | the judge | TTFT with the judge well, ms | TTFT with it ill, ms | errors, well / ill | it was asked |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    lines += _judged("warm-up", found.warm_up)
    lines += [line for place, one in enumerate(found.rounds, start=1) for line in _judged(str(place), one)]
    lines += [
        "",
        "Over the rounds that count:",
        "",
        "| the judge | p50 TTFT rises by, ms | p99 TTFT rises by, ms |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {ILLNESSES[illness]} | {_interval(found.shift(illness, 50))} | {_interval(found.shift(illness, 99))} |"
        for illness in plan.illnesses
    ]
    halves = [half for one in found.rounds for half in (one.well, *one.ill.values())]
    lines += [
        "",
        f"The p99 may rise by {found.allowed_ms:.0f} ms (the larger of 20 % and 30 ms). Samples dropped and counted in all "
        f"rounds: {max(half.dropped for half in halves):,}. {_cores(half.cores for half in halves)}",
    ]
    return "\n".join(lines)


def _conditions() -> str:
    return f"One machine: {machine()}, shared by Mainstay, providers and load client."


def _outage(round_number: int, outage: Outage) -> str:
    return (
        f"| {round_number} | {DEATHS[outage.death]} | {_ttft(outage.dead)} | {outage.dead.failed} / "
        f"{outage.healed.failed} | {outage.attempts:,} ({outage.vain_attempts}) | {outage.openings} "
        f"| {outage.back_s:.1f} |"
    )


def _halves(name: str, one: Round) -> str:
    healthy, stalling = one.healthy, one.stalling
    return (
        f"| {name} | {_ttft(healthy.second)} | {_ttft(stalling.second)} | {stalling.most_held} "
        f"| {healthy.second.failed + stalling.second.failed} | {stalling.first.failed} of {stalling.first.requests} "
        f"| {healthy.agents}, {stalling.agents} |"
    )


def _flooded(name: str, one: flood.Round) -> list[str]:
    calm = one.alone.calm
    return [
        f"| {name} | {half.flood_per_s:g} | {_ttft(calm)} | {_ttft(half.calm)} | {calm.failed} / {half.calm.failed} "
        f"| {half.flood.requests - half.flood.failed:,} of {half.flood.requests:,} |"
        for half in one.flooded
    ]


def _judged(name: str, one: judging.Round) -> list[str]:
    well = one.well.window
    return [
        f"| {name} | {ILLNESSES[illness]} | {_ttft(well)} | {_ttft(half.window)} | {well.failed} / {half.window.failed} "
        f"| {half.asked} |"
        for illness, half in one.ill.items()
    ]


def _ttft(window: Window) -> str:
    return f"{number(window.ttft_ms(50))} / {number(window.ttft_ms(99))}"


def _interval(difference: Difference) -> str:
    return f"{difference.value:.1f} ({difference.low:.1f} to {difference.high:.1f})"


def _cores(all_of_them: Iterable[Cores]) -> str:
    cores: Sequence[Cores] = list(all_of_them)
    busiest = max(cores, key=lambda one: one.all)
    return (
        f"Processors in use in the busiest window: {busiest.all:.2f}, of which Mainstay {busiest.mainstay:.2f}, the "
        f"providers {busiest.providers:.2f}, the client {busiest.client:.2f}, everything else {busiest.others:.2f}."
    )
