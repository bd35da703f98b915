"""From the bytes that a run heard to the figures it found. Done after the run, so that it costs nothing while measuring."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from benchmarks import stamps
from benchmarks.heard import Heard, error_of
from benchmarks.load import Found, Percentiles
from benchmarks.sse import StampReader


@dataclass(slots=True, kw_only=True)
class Findings:
    """Counts what came between two moments; errors count whenever they happened."""

    begin_us: int
    end_us: int
    expected_tokens: int
    tokens: int = 0
    replies: int = 0
    ttft_us: list[int] = field(default_factory=list)
    added_ttft_us: list[int] = field(default_factory=list)
    lag_us: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, heard: Heard) -> None:
        """Reads one reply."""
        reader = StampReader()
        read_us = heard.sent_us
        for read_us, data in heard.pieces:
            waiting = reader.first_sent is None
            letters = reader.feed(data)
            if not self.begin_us <= read_us < self.end_us:
                continue
            self.tokens += len(letters)
            self.lag_us.extend(stamps.age_us(sent, read_us) for sent in letters)
            if waiting:
                self._add_first(heard, reader, read_us)
        error = error_of(heard, reader, self.expected_tokens)
        if error is not None:
            self.errors[error] += 1
        elif self.begin_us <= read_us < self.end_us:
            self.replies += 1

    def found(self, *, peak_open: int, client_cpu_s: float) -> Found:
        return Found(
            elapsed_s=(self.end_us - self.begin_us) / 1e6,
            tokens=self.tokens,
            replies=self.replies,
            ttft=_percentiles(self.ttft_us),
            added_ttft=_percentiles(self.added_ttft_us),
            lag=_percentiles(self.lag_us),
            peak_open=peak_open,
            errors=dict(self.errors),
            client_cpu_s=client_cpu_s,
        )

    def _add_first(self, heard: Heard, reader: StampReader, read_us: int) -> None:
        if reader.first_sent is None:
            return
        ttft_us = read_us - heard.sent_us
        self.ttft_us.append(ttft_us)
        if reader.arrived is not None:
            thinking_us = stamps.age_us(reader.arrived, read_us) - stamps.age_us(reader.first_sent, read_us)
            self.added_ttft_us.append(ttft_us - thinking_us)


def analyse(
    replies: Iterable[Heard],
    *,
    begin_us: int,
    end_us: int,
    expected_tokens: int,
) -> Findings:
    """The findings of a whole run."""
    findings = Findings(begin_us=begin_us, end_us=end_us, expected_tokens=expected_tokens)
    for heard in replies:
        findings.add(heard)
    return findings


def _percentiles(values_us: list[int]) -> Percentiles:
    if not values_us:
        return Percentiles(p50_ms=float("nan"), p99_ms=float("nan"))
    p50, p99 = np.percentile(np.asarray(values_us) / 1000, (50, 99))
    return Percentiles(p50_ms=float(p50), p99_ms=float(p99))
