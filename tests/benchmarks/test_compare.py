"""The comparison: a real run in small, and what is made of its figures."""

import asyncio
import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compare import Plan, compare, plan_of, read_arguments
from benchmarks.load import Found, Percentiles
from benchmarks.measure import Measured, Workload
from benchmarks.picture import draw
from benchmarks.report import markdown, markers, number, write_section
from benchmarks.summary import Comparison, paired_ratio, ratios, rows
from benchmarks.targets import TARGETS, Mainstay, TargetError, end

TINY = Workload(name="W0", streams=2, tokens=4, first_token_s=0.01, token_s=0.005, warm_up_s=0.1, window_s=0.3)


def measured(target: str, *, cpu_s: float, tokens: int = 1000, lag_ms: float = 2.0, errors: int = 0) -> Measured:
    some = Percentiles(p50_ms=lag_ms, p99_ms=2 * lag_ms)
    found = Found(
        elapsed_s=2.0,
        tokens=tokens,
        replies=10,
        ttft=some,
        added_ttft=some,
        lag=some,
        peak_open=8,
        errors={"cut": errors} if errors else {},
        client_cpu_s=0.1,
    )
    return Measured(target=target, workload="W0", found=found, server_cpu_s=cpu_s, upstream_cpu_s=0.2)


def comparison(*, of_c: list[float], of_b: list[float], idle_cores: float = 0.0) -> Comparison:
    return Comparison(
        targets={"b": "usual", "c": "ours"},
        workloads=(TINY,),
        rounds=len(of_b),
        measured=[measured("c", cpu_s=cpu_s) for cpu_s in of_c]
        + [measured("b", cpu_s=cpu_s, errors=1) for cpu_s in of_b],
        idle_cores={"c": idle_cores},
        harness=(),
    )


async def test_a_real_run_in_small() -> None:
    """Upstream, client and pass-through as processes: tokens flow, CPU is seen, nothing fails, nothing is left running."""
    plan = Plan(targets=("a",), workloads=(TINY,), rounds=2, idle_s=0.05, warm_up_s=0.3, harness_streams=(3,))
    found = await compare(plan)
    assert [one.target for one in found.measured] == ["a", "a"]
    for one in found.measured:
        assert one.found.errors == {}
        assert one.found.tokens > 20
        assert one.found.peak_open == 2
        assert one.cpu_ms_per_token(idle_cores=0.0) > 0
        assert one.upstream_cpu_s > 0
        assert 0 < one.found.lag.p50_ms <= one.found.lag.p99_ms
    assert found.harness[0][1].found.tokens > 20
    assert "| W0 | a |" in markdown(found, picture=None)


FAKE_LAUNCH = """
import json, os, pathlib, signal, sys
if os.environ["MAINSTAY_PORT"] == "1":
    sys.exit("no database")
names = ("PROFILE", "OPENAI_BASE_URL", "OPENAI_API_KEY")
home = pathlib.Path(os.environ["MAINSTAY_HOME"])
ready = {"url": f"http://{'-'.join(os.environ[name] for name in names)}", "api_key": "k", "root_pid": os.getpid()}
(home / "partial").write_text(json.dumps(ready))
(home / "partial").rename(home / "ready.json")
signal.pause()
"""


def fake_mainstay(folder: Path, *, port: int) -> Mainstay:
    (folder / "fake_launch.py").write_text(FAKE_LAUNCH)
    return Mainstay(upstream_url="up", port=port, module="fake_launch", environment={"PYTHONPATH": str(folder)})


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The launcher's last lines come with the failure, and stopping afterwards is safe."""
    target = fake_mainstay(tmp_path, port=1)
    with pytest.raises(TargetError, match="no database"):
        await target.start()
    await target.stop()


async def test_mainstay_is_found_by_its_ready_file(tmp_path: Path) -> None:
    """The environment tells the launcher profile and upstream; address, key and processes are taken from `ready.json`."""
    target = fake_mainstay(tmp_path, port=0)
    await target.start()
    assert target.url == "http://production-up-any/chat/stream"
    assert target.headers == {"authorization": "Bearer k"}
    assert json.loads(target.body("hi")) == {"messages": [{"role": "user", "content": "hi"}]}
    assert len(target.pids()) == 1
    await target.stop()
    assert target.pids() == frozenset()


def test_idle_burn_is_taken_off() -> None:
    """CPU per token is what was used less what would have been used anyway."""
    row = next(
        row for row in rows(comparison(of_c=[1.0, 1.2, 1.4], of_b=[2.0, 2.0, 2.0], idle_cores=0.1)) if row.target == "c"
    )
    assert math.isclose(row.cpu_ms_per_token, 1000 * (1.2 - 0.1 * 2.0) / 1000)


def test_the_ratio_is_paired_by_round() -> None:
    """Rounds that were slow for both sides do not widen the interval; the figure is their geometric mean."""
    same = paired_ratio([1.0, 10.0, 3.0], [2.0, 20.0, 6.0], figure="f", workload="w")
    assert (same.mean, same.low, same.high) == pytest.approx((0.5, 0.5, 0.5))
    wide = paired_ratio([1.0, 1.0, 2.0], [1.0, 2.0, 2.0], figure="f", workload="w")
    assert wide.low == pytest.approx(0.5)
    assert wide.mean == pytest.approx(0.5 ** (1 / 3))
    assert wide.high == pytest.approx(1.0)
    many = paired_ratio([1.0, 4.0] * 4, [2.0] * 8, figure="f", workload="w")
    assert many.mean == pytest.approx(1.0)
    assert 0.55 < many.low < 0.9
    assert 1.1 < many.high < 1.8
    assert math.isnan(paired_ratio([math.nan], [1.0], figure="f", workload="w").mean)
    cpu = ratios(comparison(of_c=[1.0, 2.0], of_b=[4.0, 8.0]), "c", "b")[0]
    assert cpu.figure == "CPU per token"
    assert cpu.mean == pytest.approx(0.25)


def test_the_report_names_errors_ratio_and_machine(tmp_path: Path) -> None:
    """Errors are summed by kind, c / b is there, and the picture is linked and drawn, the same bytes each time."""
    found = comparison(of_c=[1.0, 1.0], of_b=[2.0, 2.0])
    text = markdown(found, picture="performance.svg")
    assert "2 cut" in text
    assert "| CPU per token | W0 | 0.500 | 0.500 to 0.500 |" in text
    assert f"{os.cpu_count()} cores" in text
    assert "](performance.svg)" in text
    for name in ("one.svg", "two.svg"):
        draw(found, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_server_without_a_token_is_still_reported(tmp_path: Path) -> None:
    """No token, no figures: dashes in the table, gaps in the picture, no crash."""
    nothing = Percentiles(p50_ms=math.nan, p99_ms=math.nan)
    base = comparison(of_c=[1.0], of_b=[2.0])
    one = base.measured[0]
    found = replace(one.found, tokens=0, ttft=nothing, added_ttft=nothing, lag=nothing, errors={"cut": 3})
    base = replace(base, measured=[replace(one, found=found), base.measured[1]])
    assert "| W0 | c | – |" in markdown(base, picture=None)
    draw(base, tmp_path / "p.svg")


def test_only_the_section_between_the_markers_is_replaced(tmp_path: Path) -> None:
    """Text around the markers stays; a file without them, or none at all, gets them; other sections are not touched."""
    begin, end = markers("bench")
    file = tmp_path / "docs" / "performance.md"
    write_section(file, "first")
    assert file.read_text() == f"# Performance\n\n{begin}\nfirst\n{end}\n"
    file.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    write_section(file, "new")
    assert file.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    write_section(file, "another", name="other")
    assert file.read_text().startswith(f"before\n{begin}\nnew\n{end}\nafter\n\n")
    assert file.read_text().endswith("\nanother\n" + markers("other")[1] + "\n")


NUMBERS = [(1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (math.nan, "–")]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_keep_three_figures(value: float, text: str) -> None:
    """As many as mean something."""
    assert number(value) == text


def test_the_command_line_makes_the_plan() -> None:
    """The published plan by default, fewer and shorter rounds with --quick, single values by their own option."""
    plan = plan_of(read_arguments([]))
    assert (plan.targets, plan.rounds, [load.streams for load in plan.workloads]) == (["a", "b", "c"], 20, [8, 100])
    plan = plan_of(read_arguments(["--profile-run", "--targets", "b", "--workloads", "W1", "--rounds", "3"]))
    assert (plan.targets, plan.rounds, len(plan.workloads)) == (["b"], 3, 1)
    assert plan.workloads[0].window_s < 6
    assert plan_of(read_arguments(["--window-s", "1.5"])).workloads[1].window_s == 1.5
    with pytest.raises(SystemExit, match="unknown: z"):
        plan_of(read_arguments(["--targets", "a,z"]))
    assert set(TARGETS) == {"a", "b", "c"}


async def test_a_process_that_ignores_signals_is_killed() -> None:
    """Stopping has an end, whatever the server does."""
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    await process.stdout.readline()
    await end(process, by=signal.SIGINT, within_s=0.05)
    assert process.returncode == -signal.SIGKILL
