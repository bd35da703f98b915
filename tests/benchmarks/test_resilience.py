"""The resilience benchmark in small, over a relay that fails over without any breaker, so that every count is known."""

import asyncio
import math
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from benchmarks.arrivals import Reply
from benchmarks.resilience import fail_over, flood, isolation, judging
from benchmarks.resilience.__main__ import read_arguments
from benchmarks.resilience.counters import CountersError, Counts, count, read_counts
from benchmarks.resilience.fail_over import REFUSED, UNAVAILABLE, FailOver, Healthy, Outage
from benchmarks.resilience.figures import Window, pooled_difference, window
from benchmarks.resilience.isolation import Half, Isolation
from benchmarks.resilience.load import Cores
from benchmarks.resilience.report import fail_over_section, flood_section, isolation_section, judging_section
from tests.benchmarks.relay import RelaySite

NO_CORES = Cores(mainstay=1.0, providers=0.1, client=0.2, others=0.3)


@pytest.fixture
async def site() -> AsyncIterator[RelaySite]:
    async with RelaySite() as running:
        yield running


def quiet(text: str) -> None: ...


async def test_fail_over_in_small(site: RelaySite) -> None:
    """Nobody fails while the first provider is dead; each turn costs two attempts then, and one once it is healed."""
    plan = fail_over.Plan(per_s=40.0, requests=20, heal_s=0.5, rounds=1)
    found = await fail_over.measure(site, plan, quiet)
    [only] = found.rounds
    assert (only.healthy.window.requests, only.healthy.window.failed) == (20, 0)
    for death, outage in only.outages.items():
        assert (outage.dead.requests, outage.dead.failed, outage.healed.requests, outage.healed.failed) == (
            20,
            0,
            20,
            0,
        )
        assert outage.attempts == 20 + outage.vain_attempts, death
        assert outage.seen_vain_attempts == (outage.vain_attempts if death == UNAVAILABLE else None)
        assert outage.vain_attempts > 0
    assert set(only.outages) == {REFUSED, UNAVAILABLE}
    assert "| 1 | connection refused |" in fail_over_section(found)


async def test_isolation_in_small(site: RelaySite) -> None:
    """The second agent is served while the first one's provider holds every call; the first is healthy again afterwards."""
    plan = isolation.Plan(first_per_s=20.0, second_per_s=40.0, window_s=0.4, rounds=1)
    found = await isolation.measure(site, plan, quiet)
    for one in found.rounds:
        assert (one.healthy.first.failed, one.healthy.second.failed) == (0, 0)
        assert (one.stalling.first.errors, one.stalling.second.failed) == ({"unanswered": 8}, 0)
        assert one.stalling.second.requests == 16
        assert one.stalling.most_held == 8
    assert "| 1 |" in isolation_section(found)


async def test_a_flood_in_small(site: RelaySite) -> None:
    """The calm tenant is asked the same in every window; of the floods nothing is answered here."""
    plan = flood.Plan(floods_per_s=(50.0, 100.0), calm_per_s=40.0, window_s=0.4, rounds=1)
    found = await flood.measure(site, plan, quiet)
    for one in found.rounds:
        assert (one.alone.calm.requests, one.alone.calm.failed, one.alone.flood.requests) == (16, 0, 0)
        for half in one.flooded:
            assert (half.calm.requests, half.calm.failed) == (16, 0)
            assert half.flood.failed == half.flood.requests == 0.4 * half.flood_per_s
    assert "| 1 | 50 |" in flood_section(found)
    assert "| 0 of 20 |" in flood_section(found)
    assert "| 0 of 40 |" in flood_section(found)


async def test_an_ill_judge_in_small(site: RelaySite) -> None:
    """Turns are the same in every window, and the judge is well again afterwards."""
    plan = judging.Plan(per_s=40.0, window_s=0.4, rounds=1, rest_s=0.0)
    found = await judging.measure(site, plan, quiet)
    for one in found.rounds:
        assert set(one.ill) == set(judging.ILLNESSES)
        for half in (one.well, *one.ill.values()):
            assert (half.window.requests, half.window.failed) == (16, 0)
    assert site.judge.default.fault is None
    assert "| 1 | refuses connections |" in judging_section(found)


async def test_the_settings_are_two_providers_and_a_judge(site: RelaySite) -> None:
    """Graphs name their providers; no turn can go to the judge's, which calls no tools."""
    settings = site.relays[0].settings
    assert [(one["name"], one["tools"]) for one in settings["providers"]] == [
        ("primary", True),
        ("secondary", True),
        ("judge", False),
    ]
    assert {name: graph["providers"] for name, graph in settings["graphs"].items()} == {
        "react": ["primary", "secondary"],
        "first": ["primary"],
        "second": ["secondary"],
        "judged": ["secondary"],
    }
    assert settings["evaluator"] == {"provider": "judge", "sampling": {"rates": [{"graph": "judged", "rate": 1.0}]}}


def reply(ttft_ms: int | None, error: str | None = None) -> Reply:
    first_us = None if ttft_ms is None else 1000 * ttft_ms
    return Reply(name="a", due_us=0, sent_us=2_000, first_us=first_us, error=error)


def test_a_window_counts_errors_by_kind_and_times_what_began() -> None:
    """Replies that never began have no time to first token, and no reply at all no percentile."""
    found = window([*(reply(ms) for ms in range(1, 102)), reply(None, "status_503"), reply(5_000, "event:run_failed")])
    assert (found.requests, found.failed) == (103, 2)
    assert found.errors == {"status_503": 1, "event:run_failed": 1}
    assert (found.ttft_ms(50), found.late_p99_ms) == (51.5, 2.0)
    assert found.ttft_ms(99) == pytest.approx(100.99)
    assert math.isnan(window([]).ttft_ms(99))


def test_differences_are_of_percentiles_over_all_windows() -> None:
    """One window's hiccup is not the p99 of all, and what was slow for both sides of a round does not widen the interval."""
    healthy, ill = [of(100.0), of(200.0), of(100.0)], [of(110.0), of(210.0), of(110.0)]
    same = pooled_difference(ill, healthy, 50)
    assert (same.value, same.low, same.high) == pytest.approx((10.0, 10.0, 10.0))
    hiccup = replace(of(100.0), ttfts_ms=[100.0] * 985 + [400.0] * 15)
    one = pooled_difference([hiccup, *[of(100.0)] * 7], [of(100.0)] * 8, 99)
    assert (one.value, one.low) == (0.0, 0.0)
    wide = pooled_difference([of(101.0), of(103.0)] * 4, [of(100.0)] * 8, 50)
    assert 1.0 <= wide.low <= wide.value <= wide.high <= 3.0
    assert wide.low < wide.high


METRICS = """# TYPE ray_mainstay_model_calls_total counter
ray_mainstay_model_calls_total{provider="primary",outcome="ok",WorkerId="a"} 900.0
ray_mainstay_model_calls_total{provider="primary",outcome="model_unreachable",WorkerId="a"} 5.0
ray_mainstay_model_calls_total{provider="primary",outcome="model_unreachable",WorkerId="b"} 2.0
ray_mainstay_model_calls_total{provider="secondary",outcome="model_unreachable",WorkerId="b"} 9.0
# TYPE ray_mainstay_breaker_changes_total counter
ray_mainstay_breaker_changes_total{breaker="primary",state="open"} 3.0
ray_mainstay_breaker_changes_total{breaker="primary",state="closed"} 1.0
# TYPE ray_mainstay_samples_dropped_total counter
ray_mainstay_samples_dropped_total{reason="queue",WorkerId="a"} 3.0
ray_mainstay_samples_dropped_total{reason="sending",WorkerId="b"} 4.0
"""


def test_counters_are_summed_over_replicas() -> None:
    """Failed calls are those of one provider with any outcome but ok."""
    found: Counter[tuple[str, str, str]] = Counter()
    count(METRICS, found)
    counts = Counts(found)
    assert (counts.failed_calls("primary"), counts.openings("primary"), counts.openings("secondary")) == (7, 3, 0)
    assert counts.dropped_samples == 7


async def test_metrics_are_found_by_what_rays_processes_are_told(tmp_path: Path) -> None:
    """The temporary folder in a process's arguments holds the addresses; one that nobody serves is passed over."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", f"--temp-dir={tmp_path}", stdin=asyncio.subprocess.PIPE
    )
    with pytest.raises(CountersError):
        await read_counts([process.pid])
    targets = [{"labels": {"job": "ray"}, "targets": ["127.0.0.1:1"]}]
    (tmp_path / "prom_metrics_service_discovery.json").write_bytes(orjson.dumps(targets))
    assert (await read_counts([process.pid])).failed_calls("primary") == 0
    await process.communicate(b"\n")


def of(ttft_ms: float | None, *, failed: int = 0, requests: int = 1_000) -> Window:
    """A window in which all replies took the same time, or none began."""
    errors = {"cut": failed} if failed else {}
    ttfts_ms = [] if ttft_ms is None else [ttft_ms] * requests
    return Window(requests=requests, errors=errors, ttfts_ms=ttfts_ms, late_p99_ms=1.0)


def test_the_report_names_what_was_added_and_what_is_allowed() -> None:
    """Every round has its rows; sums, maxima and the busiest window stand below."""
    outage = Outage(
        death=REFUSED,
        dead=of(180.0),
        healed=of(150.0, failed=2),
        attempts=1_012,
        vain_attempts=12,
        seen_vain_attempts=None,
        openings=4,
        back_s=7.25,
        cores=replace(NO_CORES, others=0.5),
    )
    healthy = Healthy(window=of(150.0), cores=NO_CORES)
    rounds = [
        fail_over.Round(healthy=healthy, outages={REFUSED: outage}),
        fail_over.Round(healthy=healthy, outages={REFUSED: replace(outage, attempts=1_020, back_s=9.5)}),
    ]
    text = fail_over_section(FailOver(plan=fail_over.Plan(deaths=(REFUSED,)), rounds=rounds))
    assert "| 1 | connection refused | 180 / 180 | 0 / 2 | 1,012 (12) | 4 | 7.2 |" in text
    assert "| connection refused | 30.0 (30.0 to 30.0) | 30.0 (30.0 to 30.0) |" in text
    assert "Client errors in all outages: 4. Most attempts for 1,000 turns: 1,020 (1,100 allowed)." in text
    assert "Slowest return of all traffic: 9.5 s (20 s allowed). Processors in use in the busiest window: 1.80" in text


def test_the_allowed_shift_is_the_larger_of_share_and_milliseconds() -> None:
    """A fifth of the healthy p99, at least 30 ms; the warm-up is shown and does not count."""
    for healthy_ms, allowed in ((100.0, "30 ms are allowed"), (400.0, "80 ms are allowed")):
        healthy = Half(first=of(130.0), second=of(healthy_ms), most_held=2, agents=1, cores=NO_CORES)
        stalling = Half(
            first=of(None, failed=160, requests=160), second=of(healthy_ms + 7), most_held=44, agents=2, cores=NO_CORES
        )
        one = isolation.Round(healthy=healthy, stalling=stalling)
        slow = replace(one, stalling=replace(stalling, second=of(9_000.0)))
        text = isolation_section(Isolation(plan=isolation.Plan(), warm_up=slow, rounds=[one, one]))
        assert f"p99 TTFT rises by 7.0 (7.0 to 7.0) ms; {allowed}" in text
        assert "| 44 | 0 | 160 of 160 | 1, 2 |" in text
        assert "| 9,000 / 9,000 | 44 |" in text


def test_the_command_line_chooses_parts() -> None:
    """Both by default; an unknown one is refused."""
    assert read_arguments([]).parts == ["fail-over", "isolation", "flood", "judge"]
    assert read_arguments(["--parts", "isolation", "--rounds", "3"]).rounds == 3
    with pytest.raises(SystemExit):
        read_arguments(["--parts", "luck"])
