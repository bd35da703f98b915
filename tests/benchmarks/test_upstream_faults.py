"""The simulated upstream: how it breaks. Every listed fault is run because it is listed."""

import asyncio

import orjson
import pytest

from benchmarks.upstream import FAULTS, Directive, Outcome, Upstream
from benchmarks.upstream.answers import compose, streamed
from benchmarks.upstream.faults.stream import PACE_S, dripped
from benchmarks.upstream.playback import Playback
from benchmarks.upstream.reply import Reply
from benchmarks.upstream.request import read_request
from tests.benchmarks.conftest import Heard, RawClient, chat

ENDLESS = {name for name, fault in FAULTS.items() if fault.endless}
WITHOUT_DELTAS = {name for name in FAULTS if name.startswith("status_")} | {
    "context_length",
    "quota",
    "hang",
    "close_before_head",
    "reset_before_head",
    "no_first_token",
    "empty",
    "html",
    "other_form",
    "error_200",
}
"""What answers with nothing of the model's."""
CUT = sorted(set(FAULTS) - WITHOUT_DELTAS - {"no_done"})
"""What strikes after so many deltas; the rest has to come here when it is listed."""


def ask(fault: str, **more: object) -> str:
    return Directive.from_json({"fault": fault, "tokens": 8, **more}).in_message()


def struck(fault: str, directive: Directive) -> Reply:
    """The broken reply itself, of a stream."""
    request = read_request(number=1, body=orjson.dumps(chat("hi")), headers={})
    directive = FAULTS[fault].ask(directive)
    turn = compose(request, directive, arrived_us=0)
    return FAULTS[fault].strike(streamed(request, directive, turn), directive)


def complete(heard: Heard, *, stream: bool) -> bool:
    """Whether a client of the usual kind would take this for a whole answer."""
    if stream:
        return b'"finish_reason":"stop"' in heard.raw and heard.raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    try:
        return bool(orjson.loads(heard.body)["choices"][0]["finish_reason"] == "stop")
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return False


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("stream", [True, False])
async def test_no_fault_looks_like_success(raw: RawClient, upstream: Upstream, fault: str, stream: bool) -> None:
    """Every listed fault, streamed or not, is no complete answer, and is recorded by its name and never as completed."""
    await raw.open(chat(ask(fault), stream=stream), connection="close")
    if fault in ENDLESS:
        await upstream.seen.until(lambda seen: seen.received == 1)
        raw.close()
        await upstream.seen.until(lambda seen: seen.ended == 1)
        assert upstream.seen.last.outcome is Outcome.CLIENT_CLOSED
    else:
        assert not complete(await raw.rest(), stream=stream)
        assert upstream.seen.last.outcome is Outcome.FAULTED
    assert upstream.seen.last.fault == fault


@pytest.mark.parametrize("stream", [True, False])
async def test_a_healthy_answer_is_complete(raw: RawClient, upstream: Upstream, stream: bool) -> None:
    """What the faults are held against."""
    assert complete(await raw.ask(chat("hi", stream=stream)), stream=stream)
    assert (upstream.seen.last.outcome, upstream.seen.last.fault) == (Outcome.COMPLETED, None)


@pytest.mark.parametrize("fault", CUT)
@pytest.mark.parametrize("after", [0, 3, 8])
def test_stream_faults_strike_after_that_many_deltas(fault: str, after: int) -> None:
    """The role and exactly `after` deltas are let through, none and all of them included."""
    pieces = [what for _, what in struck(fault, Directive(tokens=8, after=after)).opening]
    assert len(pieces) == 1 + after
    assert sum(b'"delta":{"content"' in what for what in pieces if isinstance(what, bytes)) == after


@pytest.mark.parametrize("fault", sorted(WITHOUT_DELTAS))
async def test_other_faults_say_nothing_of_the_models(raw: RawClient, upstream: Upstream, fault: str) -> None:
    """No delta precedes a refusal, or a body of another kind."""
    await raw.open(chat(ask(fault)), connection="close")
    if fault in ENDLESS:
        await upstream.seen.until(lambda seen: seen.received == 1)
        assert upstream.seen.last.chunks == 0
        return
    assert b'"delta"' not in (await raw.rest()).raw


@pytest.mark.parametrize(
    ("fault", "end", "reset"),
    [
        ("close_before_head", b"", False),
        ("reset_before_head", b"", True),
        ("cut", b"}\n\n\r\n0\r\n\r\n", False),
        ("cut_unframed", b"}\n\n\r\n", False),
        ("cut_close", b"}\n\n", False),
        ("torn", b'"chatcmpl', False),
        ("reset", b"}\n\n\r\n", True),
        ("malformed", b"data: [DONE]\n\n\r\n0\r\n\r\n", False),
        ("other_shape", b"data: [DONE]\n\n\r\n0\r\n\r\n", False),
        ("not_utf8", b"data: [DONE]\n\n\r\n0\r\n\r\n", False),
        ("no_finish_reason", b"data: [DONE]\n\n\r\n0\r\n\r\n", False),
        ("no_done", b'"finish_reason":"stop"}]}\n\n\r\n0\r\n\r\n', False),
        ("error_data", b'"code":null}}\n\n\r\n0\r\n\r\n', False),
        ("error_event", b'"message":"overloaded"}\n\n\r\n0\r\n\r\n', False),
    ],
)
async def test_each_break_has_its_own_last_bytes(raw: RawClient, fault: str, end: bytes, reset: bool) -> None:
    """What a client can tell the breaks apart by: the body's end, the frame's end, FIN or RST."""
    heard = await raw.ask(chat(ask(fault, token_s=0.001)))
    assert heard.raw.endswith(end)
    assert heard.reset is reset
    assert (b"[DONE]" in heard.raw) is (b"[DONE]" in end)
    assert (b'"finish_reason":"stop"' in heard.raw) is (fault == "no_done")
    assert bool(heard.raw) is bool(end)


async def test_without_done_the_answer_is_whole(raw: RawClient) -> None:
    """All tokens, finish_reason and usage come; only the sentinel is missing."""
    heard = await raw.ask(chat(ask("no_done"), stream_options={"include_usage": True}))
    assert heard.raw.count(b'"delta":{"content"') == 8
    assert b'"completion_tokens":8' in heard.raw


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ("no_first_token", b"transfer-encoding: chunked\r\n\r\n"),
        ("pings", b"\r\n8\r\n: ping\n\n\r\n8\r\n: ping\n\n\r\n"),
        ("ping_drip", b"\r\n1\r\n:\r\n1\r\n \r\n1\r\np\r\n"),
        ("drip", b"\r\n1\r\nd\r\n1\r\na\r\n1\r\nt\r\n"),
        ("empty_deltas", b'"delta":{"content":""}}]}\n\n\r\n'),
    ],
)
async def test_what_never_ends_keeps_the_connection_open(
    raw: RawClient, upstream: Upstream, fault: str, heard: bytes
) -> None:
    """The head comes, then nothing or nothing of use; only the client's leaving ends it."""
    await raw.open(chat(ask(fault, after=0)))
    assert b"200 OK" in await raw.until(heard)
    assert (upstream.seen.open, upstream.seen.connected) == (1, 1)


def test_a_drip_never_completes_an_event() -> None:
    """Each step is one byte, at the pace at which no read timeout ever fires, and no line ends."""
    request = read_request(number=1, body=orjson.dumps(chat("hi")), headers={})
    reply = streamed(request, Directive(), compose(request, Directive(), arrived_us=0))
    drip = dripped(reply, Directive())
    steps = [next(drip) for _ in range(10_000)]
    assert {(delay_s, len(byte)) for delay_s, byte in steps if isinstance(byte, bytes)} == {(PACE_S, 1)}
    sent = b"".join(byte for _, byte in steps if isinstance(byte, bytes))
    assert sent.startswith(b'data: {"choices":[{"index":0,"delta":{"content":"ooo')
    assert b"\n" not in sent


class Sponge(asyncio.Transport):
    """A connection that takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closing = False

    def write(self, data: object) -> None:
        self.written += 1

    def is_closing(self) -> bool:
        return self.closing


def playing(fault: str) -> tuple[Playback, Sponge]:
    """A broken reply on its way into a sponge."""
    sponge = Sponge()
    playback = Playback(
        reply=struck(fault, Directive()),
        seen=None,
        transport=sponge,
        loop=asyncio.get_running_loop(),
        on_end=lambda _outcome, _reusable: None,
    )
    playback.start()
    return playback, sponge


@pytest.mark.parametrize("fault", ["flood", "repetition"])
async def test_an_endless_answer_lets_others_have_their_turn(fault: str) -> None:
    """However fast it is read, the loop is given back, and the answer goes on afterwards until it is stopped."""
    playback, sponge = playing(fault)
    at_once = sponge.written
    assert at_once < 1000
    for _ in range(3):
        await asyncio.sleep(0)
    assert sponge.written > at_once
    playback.stop()
    stopped = sponge.written
    await asyncio.sleep(0)
    assert sponge.written == stopped


async def test_a_pause_ends_in_the_next_turn() -> None:
    """Nothing is written to a transport while it says that it may be: closing it there would close it twice."""
    playback, sponge = playing("flood")
    playback.pause()
    await asyncio.sleep(0)
    paused = sponge.written
    playback.resume()
    assert sponge.written == paused
    await asyncio.sleep(0)
    assert sponge.written > paused
    playback.stop()


async def test_nothing_is_written_to_a_connection_that_is_lost() -> None:
    """The rest of an endless answer is not tried, piece by piece, on a broken socket."""
    playback, sponge = playing("flood")
    sponge.closing = True
    written = sponge.written
    await asyncio.sleep(0)
    assert sponge.written == written
    playback.stop()


async def test_a_late_head_is_no_fault(raw: RawClient, upstream: Upstream) -> None:
    """`head_s` holds back even the status line, of an answer and of a refusal; a client that leaves meanwhile is seen."""
    await raw.open(chat(ask("status_503", head_s=3600)))
    await upstream.seen.until(lambda seen: seen.received == 1)
    assert upstream.seen.last.bytes_written == 0
    raw.close()
    await upstream.seen.until(lambda seen: seen.closed == 1)
    heard = await raw.ask(chat(Directive(head_s=0.01).in_message()))
    assert complete(heard, stream=True)


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
