"""The load client in open loop: on schedule, whatever becomes of the requests before."""

import pytest

from benchmarks import stamps
from benchmarks.arrivals import UNANSWERED, Arrivals, OpenLoad, Reply
from benchmarks.heard import Heard
from benchmarks.load import NONCE
from benchmarks.open_loop import OpenLoopClient, read, run_open_loop
from benchmarks.targets import Simulation
from benchmarks.upstream import Directive, Upstream, in_turn

ANSWER = Directive(tokens=3, stamp=True)


def arrivals(upstream: Upstream, *, name: str = "a", count: int = 6, per_s: float = 200.0) -> Arrivals:
    return Arrivals(
        name=name,
        url=f"{upstream.url}/chat/completions",
        body=Simulation().body(f"Number {NONCE}."),
        per_s=per_s,
        count=count,
        tokens=3,
    )


async def ask(*given: Arrivals, give_up_s: float = 5.0) -> list[Reply]:
    return await OpenLoopClient(OpenLoad(arrivals=given, give_up_s=give_up_s)).run(lambda begin_us: None)


async def test_a_stalled_reply_delays_nobody(upstream: Upstream) -> None:
    """What is due is sent while the first reply stalls; that one is left unanswered, and the others are not late for it."""
    upstream.script = in_turn(Directive(fault="no_first_token"), *[ANSWER] * 5)
    replies = await ask(arrivals(upstream), give_up_s=1.0)
    assert [reply.error for reply in replies] == [UNANSWERED, *[None] * 5]
    assert replies[0].ttft_ms is None
    assert upstream.seen.received == 6
    await upstream.seen.until(lambda seen: seen.closed == 1)


async def test_requests_are_evenly_spaced_from_the_begin(upstream: Upstream) -> None:
    """Due times are the schedule's own, nothing is sent before, and each request has its own content."""
    upstream.default = ANSWER
    begun: list[int] = []
    load = OpenLoad(arrivals=[arrivals(upstream), arrivals(upstream, name="b", count=2)], give_up_s=5.0)
    replies = await OpenLoopClient(load).run(begun.append)
    begin_us = begun[0]
    assert [reply.due_us - begin_us for reply in replies if reply.name == "a"] == [
        5_000 * number for number in range(6)
    ]
    assert [reply.name for reply in replies] == ["a"] * 6 + ["b"] * 2
    assert all(reply.error is None and reply.sent_us >= reply.due_us - 1_500 for reply in replies)
    contents = {seen.body["messages"][0]["content"] for seen in upstream.seen.requests}
    assert contents == {*(f"Number a {number}." for number in range(6)), "Number b 0.", "Number b 1."}


@pytest.mark.parametrize(
    ("fault", "error"), [("status_503", "status_503"), ("reset_before_head", "reset"), ("cut", "no_done")]
)
async def test_each_failure_is_an_error_of_its_kind(upstream: Upstream, fault: str, error: str) -> None:
    """And the next request is served."""
    upstream.script = in_turn(Directive(fault=fault, stamp=True), ANSWER)
    replies = await ask(arrivals(upstream, count=2, per_s=20.0))
    assert [reply.error for reply in replies] == [error, None]


async def test_a_server_that_is_not_there(upstream: Upstream) -> None:
    """Refused connections are errors."""
    given = arrivals(upstream, count=2)
    await upstream.stop()
    assert [reply.error for reply in await ask(given)] == ["ConnectionRefusedError"] * 2


async def test_time_counts_from_when_a_request_was_due(upstream: Upstream) -> None:
    """A client that is late does not make its server look fast."""
    token = f'data: {{"text": "~{stamps.encode(0).decode()}"}}\n\n'.encode()
    heard = Heard(sent_us=4_000, pieces=[(9_000, token * 2), (9_500, token + b"data: [DONE]\n\n")])
    reply = read(arrivals(upstream), heard, due=1_000, sent_us=4_000)
    assert (reply.ttft_ms, reply.late_ms, reply.error) == (8.0, 3.0, None)


async def test_as_a_process(upstream: Upstream) -> None:
    """It says when its schedule began, and which process it is; the replies come through the pipe."""
    upstream.default = ANSWER
    begun: list[tuple[int, int]] = []
    load = OpenLoad(arrivals=[arrivals(upstream)], give_up_s=5.0)
    replies = await run_open_loop(load, began=lambda *told: begun.append(told))
    assert begun[0][0] > 0
    assert [reply.error for reply in replies] == [None] * 6
    assert replies[0].due_us == begun[0][1]
