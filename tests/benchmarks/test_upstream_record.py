"""The simulated upstream: what it remembers."""

import asyncio

import httpx
import pytest

from benchmarks.upstream import ClosedBy, Directive, Outcome, Upstream, in_turn
from benchmarks.upstream.playback import reset
from tests.benchmarks.conftest import RawClient, chat


def ask(fault: str, **more: object) -> str:
    return Directive.from_json({"fault": fault, "tokens": 8, **more}).in_message()


async def test_a_hang_up_is_seen_at_once(raw: RawClient, upstream: Upstream) -> None:
    """The client's close ends the stream here, with the time and the tokens sent so far."""
    await raw.open(chat(Directive(tokens=1000, token_s=0.01).in_message()))
    await raw.until(b'{"content":"The"}')
    assert upstream.seen.open == 1
    raw.close()
    await upstream.seen.until(lambda seen: seen.closed == 1)
    seen = upstream.seen.last
    assert (seen.outcome, upstream.seen.open) == (Outcome.CLIENT_CLOSED, 0)
    assert seen.ended_s is not None
    assert seen.ended_s >= seen.received_s
    assert 2 <= seen.chunks < 1000


async def test_a_completed_reply_is_not_a_hang_up(raw: RawClient, upstream: Upstream) -> None:
    """Closing a connection whose reply is over counts as nothing."""
    await raw.open(chat("hi"))
    await raw.until(b"[DONE]\n\n\r\n0\r\n\r\n")
    raw.close()
    await upstream.seen.until(lambda seen: seen.completed == 1)
    assert upstream.seen.closed == 0


async def test_connections_are_kept_and_numbered() -> None:
    """Requests over one pooled connection share its number; open streams are counted at their peak."""
    async with Upstream() as upstream, httpx.AsyncClient(base_url=upstream.url) as client:
        for _ in range(2):
            assert (await client.post("/chat/completions", json=chat("hi"))).text.endswith("data: [DONE]\n\n")
        assert len({seen.connection for seen in upstream.seen.requests}) == 1
        both = [
            client.post("/chat/completions", json=chat(Directive(first_token_s=0.05).in_message())) for _ in range(2)
        ]
        await asyncio.gather(*both)
        assert upstream.seen.peak_open == 2


async def test_the_key_is_kept_nowhere(raw: RawClient, upstream: Upstream) -> None:
    """Only the presence of a key is recorded, wherever else a client may repeat it."""
    await raw.ask(chat("hi"), authorization="Bearer sk-canary", x_copy="sk-canary", x_api_key="sk-canary", x_trace="t1")
    seen = upstream.seen.last
    assert seen.authorization is True
    assert seen.headers["x-trace"] == "t1"
    assert "canary" not in repr(seen)
    await raw.ask(chat("hi"))
    assert upstream.seen.last.authorization is False
    assert upstream.seen.last.body == chat("hi")


async def test_waiting_says_what_was_seen_instead(upstream: Upstream) -> None:
    """A condition that does not come true is a TimeoutError with the counts."""
    with pytest.raises(TimeoutError, match="'received': 0"):
        await upstream.seen.until(lambda seen: seen.received == 1, timeout_s=0.01)


async def test_only_the_newest_requests_are_kept() -> None:
    """The memory is bounded; the counts are not."""
    async with Upstream(remember=2) as upstream:
        client = RawClient(upstream)
        for content in ("a", "b", "c"):
            await client.ask(chat(content))
        assert [seen.body["messages"][0]["content"] for seen in upstream.seen.requests] == ["b", "c"]
        assert (upstream.seen.received, upstream.seen.completed) == (3, 3)
        upstream.seen.clear()
        assert (len(upstream.seen.requests), upstream.seen.ended) == (0, 0)


async def test_a_reader_that_stops_reading_is_waited_for(raw: RawClient, upstream: Upstream) -> None:
    """Nothing piles up in the upstream: writing pauses with the reader, and the whole answer arrives afterwards."""
    upstream.script = in_turn(Directive(chunks=("x" * 200_000,) * 100))
    await raw.open(chat("hi"), connection="close")
    await upstream.seen.until(lambda seen: seen.received == 1)
    await raw.until(b"assistant")
    assert upstream.seen.last.chunks < 100
    heard = await raw.rest()
    assert heard.raw.count(b'"delta":{"content":"x') == 100


@pytest.mark.parametrize("fault", ["close_before_head", "reset_before_head", "cut", "torn", "reset", "html"])
async def test_the_upstream_says_when_it_closed_a_connection_itself(
    raw: RawClient, upstream: Upstream, fault: str
) -> None:
    """FIN or RST, and a complete reply on a connection that is not kept: closed by the upstream."""
    await raw.ask(chat(ask(fault)))
    await upstream.seen.until(lambda seen: seen.connected == 0)
    connection = upstream.seen.connections[-1]
    assert (connection.closed_by, connection.requests) == (ClosedBy.UPSTREAM, 1)
    assert connection.closed_s is not None
    assert connection.closed_s >= connection.opened_s


async def test_a_client_that_closes_is_told_apart(raw: RawClient, upstream: Upstream) -> None:
    """Its FIN in the middle of an answer, and its FIN on an idle connection: closed by the client."""
    await raw.open(chat(ask("stall")))
    await raw.until(b"assistant")
    assert upstream.seen.connections[-1].closed_by is None
    raw.close()
    await upstream.seen.until(lambda seen: seen.connected == 0)
    assert upstream.seen.connections[-1].closed_by is ClosedBy.CLIENT
    await raw.open(chat("hi"))
    await raw.until(b"[DONE]\n\n\r\n0\r\n\r\n")
    raw.close()
    await upstream.seen.until(lambda seen: seen.accepted == 2 and seen.connected == 0)
    assert upstream.seen.connections[-1].closed_by is ClosedBy.CLIENT


async def test_a_client_that_resets_is_told_apart(upstream: Upstream) -> None:
    """An RST is the client's too."""
    _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    await upstream.seen.until(lambda seen: seen.connected == 1)
    reset(writer.transport)
    await upstream.seen.until(lambda seen: seen.connected == 0)
    assert upstream.seen.connections[-1].closed_by is ClosedBy.CLIENT


async def test_every_byte_written_is_counted(raw: RawClient, upstream: Upstream) -> None:
    """Head, framing and end included: what the client read."""
    for fault in ("cut", "torn", "status_503", "html"):
        heard = await raw.ask(chat(ask(fault)))
        assert upstream.seen.last.bytes_written == len(heard.raw)
    heard = await raw.ask(chat("hi"))
    assert upstream.seen.last.bytes_written == len(heard.raw)


async def test_attempts_of_one_request_are_counted(raw: RawClient, upstream: Upstream) -> None:
    """Each attempt has its ordinal; the most that one request took is kept with the counts."""
    for content in ("a", "b", "a", "a"):
        await raw.ask(chat(content))
    assert [seen.attempt for seen in upstream.seen.requests] == [1, 1, 2, 3]
    assert upstream.seen.summary()["most_attempts"] == 3
    upstream.seen.clear()
    assert upstream.seen.most_attempts == 0


async def test_forgetting_keeps_what_is_open(raw: RawClient, upstream: Upstream) -> None:
    """After `clear` an open stream is still one open request on one open connection, and its end is seen."""
    await raw.ask(chat("hi"))
    await raw.open(chat(ask("stall")))
    await upstream.seen.until(lambda seen: seen.open == 1 and seen.connected == 1)
    upstream.seen.clear()
    assert [connection.closed_s for connection in upstream.seen.connections] == [None]
    assert (upstream.seen.accepted, upstream.seen.connected, upstream.seen.open) == (0, 1, 1)
    raw.close()
    await upstream.seen.until(lambda seen: seen.closed == 1 and seen.connected == 0)


async def test_times_are_of_the_injected_clock() -> None:
    """A request is dated when it came and when it ended, a connection when it opened and closed."""
    now_s = 100.0
    async with Upstream(clock=lambda: now_s) as upstream:
        client = RawClient(upstream)
        await client.open(chat(ask("stall")))
        await client.until(b"assistant")
        now_s = 107.5
        client.close()
        await upstream.seen.until(lambda seen: seen.connected == 0)
        request, connection = upstream.seen.last, upstream.seen.connections[-1]
        assert (request.received_s, request.ended_s) == (100.0, 107.5)
        assert (connection.opened_s, connection.closed_s) == (100.0, 107.5)


async def test_what_is_no_http_is_refused_in_plain_text(upstream: Upstream) -> None:
    """A 400 and the end of the connection, as of any HTTP server; nothing counts as a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(bytes.fromhex("16030100c4010000c00303"))
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()
    await upstream.seen.until(lambda seen: seen.connected == 0)
    assert (upstream.seen.received, upstream.seen.connections[-1].requests) == (0, 0)
