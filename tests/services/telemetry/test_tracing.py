"""Spans of a run: whose child each is, what becomes of them at the end, and how much there can be."""

import asyncio

import pytest

from services.errors import ModelThrottled
from services.telemetry import genai
from services.telemetry.recorded import MAX_EVENTS, RecordedTrace
from services.telemetry.spans import NO_SPAN, UNTRACED
from services.telemetry.tracing import TracePolicy
from tests.services.runs.fakes import a_run
from tests.services.telemetry.traced import NOTHING_BUT, Kept, Now, a_tracer, names

TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_ASKED = f"00-{TRACE}-b7ad6b7169203331-00"


def test_the_first_span_is_the_root() -> None:
    """It is below the client's, and all others are below it."""
    kept = Kept()
    tracer = a_tracer("ingress", kept)
    trace = tracer.come_in(ASKED)
    root = trace.begin("root", {})
    with trace.begin("child", {"a": 1}):
        pass
    root.end()
    tracer.end(trace)
    [first, second] = kept.spans
    assert (first.parent_id, second.parent_id) == ("b7ad6b7169203331", first.id)
    assert kept.traces[0].trace_id == trace.trace_id == TRACE
    assert trace.handed_on == f"00-{TRACE}-{first.id}-01"
    assert first.started_ns < second.started_ns < (second.ended_ns or 0) < (first.ended_ns or 0)


def test_without_a_client_s_trace_one_begins() -> None:
    """Its root has no parent."""
    kept = Kept()
    tracer = a_tracer("ingress", kept)
    trace = tracer.come_in("rubbish")
    trace.begin("root", {}).end()
    tracer.end(trace)
    assert kept.spans[0].parent_id is None
    assert len(trace.trace_id) == 32


def test_a_failure_is_told_by_its_code() -> None:
    """Never by what an exception says."""
    trace = a_tracer("agent", Kept()).come_in(ASKED)
    for error in (ModelThrottled("sk-secret"), KeyError("sk-secret"), asyncio.CancelledError("sk-secret")):
        with pytest.raises(type(error)), trace.begin("work", {}):
            raise error
    assert isinstance(trace, RecordedTrace)
    assert [span.error for span in trace.spans] == [ModelThrottled.code, "KeyError", "cancelled"]


def test_the_first_end_counts_and_what_is_open_ends_with_the_trace() -> None:
    kept = Kept()
    tracer = a_tracer("agent", kept)
    trace = tracer.come_in(ASKED)
    root, _open = trace.begin("root", {}), trace.begin("open", {})
    root.end("first")
    root.end("second")
    tracer.end(trace)
    ended, left = kept.spans
    assert ended.error == "first"
    assert genai.UNFINISHED not in ended.attributes
    assert left.attributes[genai.UNFINISHED] is True
    assert left.ended_ns is not None


def test_what_is_not_sampled_is_dropped_unless_it_is_worth_keeping() -> None:
    """Nobody knows before the end."""
    kept = Kept()
    tracer = a_tracer("agent", kept, policy=NOTHING_BUT)
    for worth in (False, True):
        trace = tracer.come_in(NOT_ASKED)
        trace.begin(f"worth {worth}", {}).end()
        if worth:
            trace.keep()
        tracer.end(trace)
    assert names(kept.spans) == ["worth True"]


def test_a_client_s_wish_is_obeyed_up_to_a_limit() -> None:
    """Beyond it the rate decides, and time gives it back. What went wrong has a limit of its own: no client can use it up."""
    kept, now = Kept(), Now()
    tracer = a_tracer("ingress", kept, policy=TracePolicy(sample_rate=1e-12, max_extra_per_s=2.0), now=now)

    def asked_for() -> bool:
        trace = tracer.come_in(ASKED)
        trace.begin("root", {})
        return (trace.handed_on or "").endswith("-01")

    assert [asked_for() for _ in range(3)] == [True, True, False]
    for _ in range(3):
        failed = tracer.come_in(None)
        failed.keep()
        tracer.end(failed)
    assert len(kept.traces) == 2
    now.seconds = 0.5
    assert [asked_for() for _ in range(2)] == [True, False]


def test_a_client_that_does_not_sample_is_not_sampled() -> None:
    tracer = a_tracer("ingress", Kept())
    trace = tracer.come_in(NOT_ASKED)
    trace.begin("root", {})
    assert (trace.handed_on or "").endswith("-00")


def test_off_is_off() -> None:
    """With a rate of 0 there is no span, whoever asks; the rate may change at any time."""
    kept = Kept()
    tracer = a_tracer("ingress", kept, policy=TracePolicy(sample_rate=0.0))
    trace = tracer.come_in(ASKED)
    assert trace is UNTRACED
    assert trace.begin("root", {}) is NO_SPAN
    assert trace.handed_on is None
    trace.keep()
    tracer.end(trace)
    assert kept.traces == []
    tracer.sample_rate = 1.0
    assert tracer.come_in(None) is not UNTRACED
    assert tracer.go_on(None, run_id=a_run().id) is UNTRACED


def test_a_run_goes_on_in_its_trace() -> None:
    """In another process, below the span that handed it on, sampled or not as it was there."""
    kept = Kept()
    run = a_run()
    tracer = a_tracer("agent", kept)
    trace = tracer.go_on(ASKED, run_id=run.id, attempt=2)
    span = trace.begin("run", {}, span_id="00000000000000aa")
    assert trace.traceparent(span) == f"00-{TRACE}-00000000000000aa-01"
    tracer.end(trace)
    assert (kept.traces[0].run_id, kept.traces[0].attempt) == (run.id, 2)
    assert kept.spans[0].parent_id == "b7ad6b7169203331"
    unsampled = tracer.go_on(NOT_ASKED, run_id=run.id)
    assert unsampled.traceparent(unsampled.begin("run", {})) is None


def test_there_is_an_end_to_what_is_kept() -> None:
    """Spans of a trace and events of a span are bounded, and what is missing is counted."""
    kept = Kept()
    tracer = a_tracer("agent", kept, policy=TracePolicy(sample_rate=1.0, max_spans=3))
    trace = tracer.come_in(ASKED)
    spans = [trace.begin(str(number), {}) for number in range(5)]
    for _ in range(MAX_EVENTS + 5):
        trace.event("again", {})
    assert spans[3:] == [NO_SPAN, NO_SPAN]
    tracer.end(trace)
    assert (len(kept.spans), kept.traces[0].dropped, len(kept.spans[0].events or ())) == (3, 2, MAX_EVENTS)


def test_nothing_is_added_to_a_trace_that_has_ended() -> None:
    """Whoever goes on working for its run begins no span that nobody ends."""
    kept = Kept()
    tracer = a_tracer("ingress", kept)
    trace = tracer.come_in(ASKED)
    trace.begin("root", {})
    tracer.end(trace)
    trace.begin("too late", {})
    assert ([span.name for span in kept.traces[0].spans], kept.traces[0].dropped) == (["root"], 0)
