"""The comparison as Markdown, and its place in the documentation."""

import math
import os
from pathlib import Path

from benchmarks.summary import Comparison, Ratio, Row, ratios, rows

_PAIRS = (("c", "b"), ("c", "a"), ("b", "a"))


def markdown(comparison: Comparison, *, picture: str | None) -> str:
    """The section between the markers."""
    parts = [_conditions(comparison), _table(rows(comparison)), _idle(comparison)]
    for over, under in _PAIRS:
        if {over, under} <= comparison.targets.keys():
            parts.append(_ratio_table(ratios(comparison, over, under), over, under))
    parts.append(_harness(comparison))
    if picture is not None:
        parts.append(f"![CPU per token, throughput and added lag of the compared servers]({picture})")
    return "\n\n".join(part for part in parts if part)


def write_section(file: Path, section: str, *, name: str = "bench") -> None:
    """Replaces what is between the markers of that name; a file without them gets both at its end."""
    begin, end = markers(name)
    text = file.read_text() if file.exists() else "# Performance\n"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        before, after = text.rstrip("\n") + "\n\n", "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{before}{begin}\n{section}\n{end}{after}")


def markers(name: str) -> tuple[str, str]:
    """Where a section that is written by a program begins and ends."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def machine() -> str:
    """Cores and memory; nothing else identifies a machine here."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {memory_bytes / 2**30:.0f} GiB of memory"


def number(value: float) -> str:
    """Three figures that mean something; a dash for nothing."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _conditions(comparison: Comparison) -> str:
    loads = "; ".join(
        f"{workload.name} = {workload.streams} streams (about {workload.offered_tokens_per_s:,.0f} tokens/s offered)"
        for workload in comparison.workloads
    )
    first = comparison.workloads[0]
    servers = "\n".join(f"- **{name}**: {title}" for name, title in comparison.targets.items())
    return (
        f"One machine: {machine()}, shared by servers, upstream and load client. Replies of {first.tokens} tokens, one every "
        f"{first.token_s * 1000:g} ms. {loads}. {comparison.rounds} interleaved rounds, the order rotated; each window is "
        f"{first.window_s:g} s after {first.warm_up_s:g} s of warm-up; figures are medians over "
        f"the rounds, TTFT and lag as p50 / p99.\n\n{servers}"
    )


def _table(summary: list[Row]) -> str:
    lines = [
        "| load | server | CPU, ms/token | tokens/s | added TTFT, ms | added lag, ms | peak open | errors |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {row.workload} | {row.target} | {number(row.cpu_ms_per_token)} | {number(row.tokens_per_s)} "
        f"| {number(row.added_ttft_p50_ms)} / {number(row.added_ttft_p99_ms)} "
        f"| {number(row.lag_p50_ms)} / {number(row.lag_p99_ms)} | {row.peak_open} | {_errors(row)} |"
        for row in summary
    ]
    return "\n".join(lines)


def _errors(row: Row) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(row.errors.items())) or "none"


def _idle(comparison: Comparison) -> str:
    burns = ", ".join(f"{name} {number(cores)}" for name, cores in comparison.idle_cores.items())
    return (
        f"Idle burn, in cores, measured before the rounds and after them, the lesser taken off the CPU per token: {burns}. "
        "CPU is user and system time of every process of a server: cluster, proxy and database included."
    )


def _ratio_table(found: list[Ratio], over: str, under: str) -> str:
    lines = [f"| {over} / {under} | load | ratio | 95 % interval |", "|---|---|---:|---:|"]
    lines += [
        f"| {ratio.figure} | {ratio.workload} | {number(ratio.mean)} | {number(ratio.low)} to {number(ratio.high)} |"
        for ratio in found
    ]
    return "\n".join(lines)


def _harness(comparison: Comparison) -> str:
    """That neither the client nor the upstream is what is measured."""
    if not comparison.harness:
        return ""
    lines = [
        "Client and upstream alone, without a server between them:",
        "",
        "| streams | offered tokens/s | tokens/s | client, cores | upstream, cores | lag p50 / p99, ms | errors |",
        "|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {workload.streams} | {number(workload.offered_tokens_per_s)} | {number(one.found.tokens_per_s)} "
        f"| {number(one.found.client_cpu_s / one.found.elapsed_s)} | {number(one.upstream_cpu_s / one.found.elapsed_s)} "
        f"| {number(one.found.lag.p50_ms)} / {number(one.found.lag.p99_ms)} | {sum(one.found.errors.values()) or 'none'} |"
        for workload, one in comparison.harness
    ]
    return "\n".join(lines)
