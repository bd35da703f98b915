"""W3C Trace Context: what is read, what is ignored, and who is of the share."""

import random
from uuid import UUID

import pytest

from services.telemetry.trace_context import TraceContext, attempt_span_id, within

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"


def test_a_traceparent_is_read_and_written() -> None:
    context = TraceContext.parse(SAMPLED)
    assert context == TraceContext(trace_id=TRACE, span_id=SPAN, sampled=True)
    assert context.traceparent == SAMPLED
    assert context.traceparent_at("00000000000000aa") == f"00-{TRACE}-00000000000000aa-01"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_only_the_last_flag_counts(flags: str, sampled: bool) -> None:
    """Others, such as level 2's of a random id, are not what we go by."""
    context = TraceContext.parse(f"00-{TRACE}-{SPAN}-{flags}")
    assert context is not None
    assert context.sampled is sampled


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert TraceContext.parse(f"01-{TRACE}-{SPAN}-01-what-is-new") is not None


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        "٠٠-" + SAMPLED[3:],
    ],
)
def test_what_is_no_traceparent_is_ignored(given: str | None) -> None:
    assert TraceContext.parse(given) is None


def test_the_share_is_the_share() -> None:
    """About one in ten of random ids is of the share 0.1, all of them of 1, none of 0; the same whoever asks."""
    chance = random.Random(1)
    ids = [f"{chance.getrandbits(128):032x}" for _ in range(10_000)]
    assert 900 < sum(within(trace_id, 0.1) for trace_id in ids) < 1_100
    assert all(within(trace_id, 1.0) for trace_id in ids)
    assert not any(within(trace_id, 0.0) for trace_id in ids)
    assert all(within(trace_id, 0.5) for trace_id in ids if within(trace_id, 0.1))
    assert TraceContext.new(chance.getrandbits, 1.0).sampled


def test_attempts_have_spans_of_their_own() -> None:
    run_id = UUID("0193a4b0-7c1e-7aaa-9bbb-0123456789ab")
    assert {attempt_span_id(run_id, attempt) for attempt in (1, 2)} == {"9bbb0123456789ac", "9bbb0123456789ad"}
