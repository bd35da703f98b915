"""From bytes and times to figures."""

import math

from benchmarks import stamps
from benchmarks.findings import analyse
from benchmarks.heard import Heard
from benchmarks.load import Found


def piece(read_us: int, *sent_us: int, arrived_us: int | None = None) -> tuple[int, bytes]:
    arrived = "" if arrived_us is None else "^" + stamps.encode(arrived_us).decode()
    text = arrived + "".join(f"~{stamps.encode(sent).decode()}" for sent in sent_us)
    return read_us, f'data: {{"text": "{text}"}}\n\n'.encode()


def done(read_us: int) -> tuple[int, bytes]:
    return read_us, b"data: [DONE]\n\n"


def test_lag_and_ttft_are_taken_from_the_stamps() -> None:
    """Lag is read less sent; added TTFT is TTFT less what lay between arrival and first token at the upstream."""
    heard = Heard(
        sent_us=1_000_000,
        pieces=[piece(1_260_000, 1_255_000, arrived_us=1_002_000), piece(1_300_000, 1_299_000), done(1_300_000)],
    )
    found = analyse([heard], begin_us=0, end_us=2_000_000, expected_tokens=2).found(peak_open=1, client_cpu_s=0.5)
    assert (found.tokens, found.replies, found.errors) == (2, 1, {})
    assert found.ttft.p50_ms == 260
    assert found.added_ttft.p50_ms == 7
    assert math.isclose(found.lag.p50_ms, 3)
    assert math.isclose(found.lag.p99_ms, 4.96)
    assert found.tokens_per_s == 1
    assert Found.from_json(found.to_json()) == found


def test_only_what_is_read_inside_the_window_counts() -> None:
    """Tokens before its begin and from its end on are left out, and so is a reply that ends outside."""
    heard = Heard(sent_us=0, pieces=[piece(10, 1), piece(20, 11, 12), piece(30, 21), done(30)])
    findings = analyse([heard], begin_us=20, end_us=30, expected_tokens=4)
    assert (findings.tokens, findings.replies, findings.ttft_us) == (2, 0, [])
    assert analyse([heard], begin_us=0, end_us=31, expected_tokens=4).replies == 1


def test_each_error_has_its_kind() -> None:
    """A cut, a missing end, a wrong length; a body that FIN ends after `[DONE]` is complete."""
    kinds = {
        "cut": Heard(sent_us=0, pieces=[piece(1, 0)], broken="cut"),
        "no_done": Heard(sent_us=0, pieces=[piece(1, 0)]),
        "wrong_token_count": Heard(sent_us=0, pieces=[piece(1, 0, 0), done(2)]),
        "status_503": Heard(sent_us=0, pieces=[(1, b"{}")], broken="status_503"),
    }
    complete = Heard(sent_us=0, pieces=[piece(1, 0), done(2)], broken="cut")
    findings = analyse([*kinds.values(), complete], begin_us=0, end_us=10, expected_tokens=1)
    assert findings.errors == dict.fromkeys(kinds, 1)
    assert findings.replies == 1


def test_nothing_heard_is_not_a_number() -> None:
    """Percentiles of nothing are NaN and survive the pipe between the processes."""
    found = Found.from_json(
        analyse([], begin_us=0, end_us=1, expected_tokens=1).found(peak_open=0, client_cpu_s=0).to_json()
    )
    assert math.isnan(found.lag.p50_ms)
    assert found.tokens_per_s == 0
