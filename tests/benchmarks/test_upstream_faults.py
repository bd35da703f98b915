"""The simulated upstream: how it breaks, and what it remembers."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import orjson
import pytest

from benchmarks.upstream import FAULTS, Directive, Outcome, Upstream, in_turn
from tests.benchmarks.conftest import RawClient, chat

STATUSES = {
    "status_400": 400,
    "status_401": 401,
    "status_404": 404,
    "status_429": 429,
    "quota": 429,
    "status_500": 500,
    "status_503": 503,
}
UNENDING = {"stall", "pings", "hang"}
STREAMED = set(FAULTS) - set(STATUSES) - UNENDING - {"html", "empty"}


def ask(fault: str, **more: object) -> str:
    return Directive.from_json({"fault": fault, "tokens": 8, **more}).in_message()


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("stream", [True, False])
async def test_no_fault_looks_like_success(raw: RawClient, upstream: Upstream, fault: str, stream: bool) -> None:
    """Every listed fault, streamed or not, withholds finish_reason and usage, and never counts as completed."""
    await raw.open(chat(ask(fault), stream=stream), connection="close")
    if fault in UNENDING:
        await upstream.seen.until(lambda seen: seen.received == 1)
        raw.close()
        await upstream.seen.until(lambda seen: seen.ended == 1)
        assert upstream.seen.last.outcome is Outcome.CLIENT_CLOSED
        return
    heard = await raw.rest()
    assert b'"finish_reason":"stop"' not in heard.raw
    assert b'"usage"' not in heard.raw
    assert upstream.seen.last.outcome is Outcome.FAULTED


@pytest.mark.parametrize("fault", sorted(STATUSES))
async def test_statuses_carry_openais_error_body(raw: RawClient, fault: str) -> None:
    """Each status comes with the JSON that the SDK turns into its exception."""
    heard = await raw.ask(chat(ask(fault)))
    assert heard.status == STATUSES[fault]
    assert set(orjson.loads(heard.body)["error"]) == {"message", "type", "param", "code"}


async def test_throttling_says_when_to_come_back(raw: RawClient) -> None:
    """Retry-After of the 429 is the asked one; the quota's 429 has none."""
    assert "retry-after: 7" in (await raw.ask(chat(ask("status_429", retry_after_s=7)))).head
    heard = await raw.ask(chat(ask("quota")))
    assert "retry-after" not in heard.head
    assert orjson.loads(heard.body)["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize("fault", sorted(STREAMED))
@pytest.mark.parametrize("after", [0, 3, 8])
async def test_stream_faults_strike_after_that_many_tokens(raw: RawClient, fault: str, after: int) -> None:
    """Exactly `after` deltas arrive before the break, none and all of them included."""
    heard = await raw.ask(chat(ask(fault, after=after)))
    assert heard.status == 200
    assert heard.raw.count(b'"delta":{"content"') == after


@pytest.mark.parametrize(
    ("fault", "end", "reset"),
    [
        ("cut", b"}\n\n\r\n0\r\n\r\n", False),
        ("cut_unframed", b"}\n\n\r\n", False),
        ("cut_close", b"}\n\n", False),
        ("torn", b'"chatcmpl', False),
        ("reset", b"}\n\n\r\n", True),
        ("malformed", b"data: [DONE]\n\n\r\n0\r\n\r\n", False),
        ("error_data", b'"code":null}}\n\n\r\n0\r\n\r\n', False),
        ("error_event", b'"message":"overloaded"}\n\n\r\n0\r\n\r\n', False),
    ],
)
async def test_each_break_has_its_own_last_bytes(raw: RawClient, fault: str, end: bytes, reset: bool) -> None:
    """What a client can tell the breaks apart by: the body's end, the frame's end, FIN or RST."""
    heard = await raw.ask(chat(ask(fault, token_s=0.001)))
    assert heard.raw.endswith(end)
    assert heard.reset is reset
    assert (b"[DONE]" in heard.raw) is (fault == "malformed")


async def test_html_and_empty_are_successes_without_content(raw: RawClient) -> None:
    """Both answer 200; one with a page, the other with no byte."""
    heard = await raw.ask(chat(ask("html")))
    assert (heard.status, "text/html" in heard.head, heard.body[:9]) == (200, True, b"<!doctype")
    heard = await raw.ask(chat(ask("empty")))
    assert (heard.status, heard.body) == (200, b"")


async def test_a_whole_body_is_broken_in_its_middle(raw: RawClient) -> None:
    """Faults of a stream leave half of a body that is none, shorter than announced or no JSON."""
    heard = await raw.ask(chat(ask("cut"), stream=False))
    announced = int(heard.head.split("content-length: ")[1].split("\r\n")[0])
    assert 0 < len(heard.body) < announced
    heard = await raw.ask(chat(ask("malformed"), stream=False))
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(heard.body)


async def test_a_fault_may_strike_only_the_first_attempts(raw: RawClient, upstream: Upstream) -> None:
    """`times` counts attempts of the same request; another request starts at one."""
    statuses = [(await raw.ask(chat(ask("status_500", times=2)))).status for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert (await raw.ask(chat("another " + ask("status_500", times=2)))).status == 500
    assert [seen.attempt for seen in upstream.seen.requests] == [1, 2, 3, 1]


async def test_a_fault_may_strike_only_one_call_of_a_turn(raw: RawClient) -> None:
    """`at_step` 1 spares the first model call and breaks the one after the tool results."""
    body = chat(ask("status_503", at_step=1))
    assert (await raw.ask(body)).status == 200
    body["messages"] += [{"role": "assistant", "content": None}, {"role": "tool", "content": "4"}]
    assert (await raw.ask(body)).status == 503


async def test_the_default_makes_an_outage(raw: RawClient, upstream: Upstream) -> None:
    """A fault in the default strikes every request without a directive, until it is taken back."""
    upstream.default = Directive(fault="status_503")
    assert (await raw.ask(chat("hi"))).status == 503
    assert (await raw.ask(b"{}", method="PUT", target="/_default")).status == 200
    assert (await raw.ask(chat("hi"))).status == 200
    assert (await raw.ask(b'{"typo": 1}', method="PUT", target="/_default")).status == 400


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


async def test_only_the_newest_requests_are_kept(raw: RawClient) -> None:
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


async def test_as_a_process_it_reports_over_http(tmp_path: Path) -> None:
    """`python -m benchmarks.upstream` writes its port, long-polls for a hang-up, ends on SIGINT."""
    port_file = tmp_path / "port"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.upstream",
        "--port-file",
        str(port_file),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ},
    )
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        await assert_reports(f"http://127.0.0.1:{port_file.read_text()}")
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def assert_reports(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/v1/chat/completions", json=chat(ask("stall"))) as stream:
            await anext(stream.aiter_bytes())
            waiting = asyncio.create_task(client.get("/_seen", params={"closed": 1, "open": 0}))
        report = (await waiting).json()
        assert (report["client_closed"], report["open"]) == (1, 0)
        assert report["requests"][0]["outcome"] == "client_closed"
        assert (await client.get("/_seen", params={"closed": 2, "timeout_s": 0.01})).status_code == 408
        await client.delete("/_seen")
        assert (await client.get("/_seen")).json()["received"] == 0
