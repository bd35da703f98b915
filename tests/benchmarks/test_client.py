"""The load client against an upstream that behaves, and one that does not."""

import pytest

from benchmarks.client import Client
from benchmarks.load import NONCE, Load
from benchmarks.measure import Workload, run_client
from benchmarks.targets import Simulation
from benchmarks.upstream import Directive, Upstream

WORKLOAD = Workload(name="tiny", streams=3, tokens=5, first_token_s=0.01, token_s=0.002)


def load_on(upstream: Upstream, **more: object) -> Load:
    given: dict[str, object] = {
        "url": f"{upstream.url}/chat/completions",
        "body": Simulation().body(WORKLOAD.content()),
        "streams": WORKLOAD.streams,
        "tokens": WORKLOAD.tokens,
        "replies": 6,
    }
    return Load(**{**given, **more})  # type: ignore[arg-type]


async def test_a_count_of_replies_in_closed_loop(upstream: Upstream) -> None:
    """So many replies, never more streams at once than asked, over connections that are kept, each with its own content."""
    found = await Client(load_on(upstream)).run()
    assert (found.replies, found.tokens, found.errors) == (6, 30, {})
    assert found.peak_open == upstream.seen.peak_open == 3
    assert len({seen.connection for seen in upstream.seen.requests}) == 3
    contents = {seen.body["messages"][0]["content"] for seen in upstream.seen.requests}
    assert len(contents) == 6
    assert not any(NONCE in content for content in contents)
    assert found.ttft.p50_ms >= 10
    assert 0 <= found.added_ttft.p50_ms < found.ttft.p50_ms
    assert 0 <= found.lag.p50_ms < 1000


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status_503", "status_503"),
        ("cut", "no_done"),
        ("cut_unframed", "cut"),
        ("cut_close", "cut"),
        ("torn", "cut"),
        ("reset", "reset"),
        ("stall", "stalled"),
        ("hang", "stalled"),
        ("malformed", "malformed"),
        ("error_data", "in_stream"),
        ("error_event", "event:error"),
        ("html", "no_done"),
        ("empty", "no_done"),
    ],
)
async def test_each_way_to_break_is_counted_by_kind(upstream: Upstream, fault: str, kind: str) -> None:
    """A broken reply is an error of its kind and no reply, and the next one is served."""
    upstream.script = lambda request: (
        Directive(fault=fault, tokens=5, stamp=True, after=2) if request.number == 1 else None
    )
    found = await Client(load_on(upstream, streams=1, replies=2, stall_s=0.1)).run()
    assert found.errors == {kind: 1}
    assert found.replies == 1


async def test_too_few_tokens_are_an_error(upstream: Upstream) -> None:
    """A reply that ends well but short is not counted as good."""
    found = await Client(load_on(upstream, tokens=6)).run()
    assert found.errors == {"wrong_token_count": 6}


async def test_a_server_that_is_not_there_is_counted(upstream: Upstream) -> None:
    """Refused connections are errors, and the run ends."""
    load = load_on(upstream, replies=2)
    await upstream.stop()
    assert (await Client(load).run()).errors == {"ConnectionRefusedError": 2}


async def test_as_a_process_it_tells_the_edges_of_its_window(upstream: Upstream) -> None:
    """The caller is called at both edges, the window has its length, and streams open at its end are read to theirs."""
    edges: list[int] = []
    load = load_on(upstream, replies=None, warm_up_s=0.05, window_s=0.2)
    found = await run_client(load, at_edge=lambda: edges.append(upstream.seen.received))
    assert len(edges) == 2
    assert 0 < edges[0] < edges[1]
    assert 0.19 < found.elapsed_s < 1
    assert found.errors == {}
    assert 0 < found.tokens < 5 * upstream.seen.received
    assert upstream.seen.completed == upstream.seen.received
    assert found.client_cpu_s > 0
