"""The simulated upstream: what it says instead of an answer."""

import httpx
import orjson
import pytest

from benchmarks.upstream import Directive, Upstream
from benchmarks.upstream.faults.content import LONG_LINE_BYTES
from tests.benchmarks.conftest import Heard, RawClient, chat

PIPES_BYTES = 32 * 1024 * 1024
"""More than the kernel keeps between two ends of a connection that is not read."""


def ask(fault: str, **more: object) -> dict[str, object]:
    return chat(Directive.from_json({"fault": fault, "tokens": 8, **more}).in_message())


def events(heard: Heard) -> list[bytes]:
    """The data of each event of a chunked stream; one chunk is one event here."""
    pieces = heard.body.split(b"\r\n")[1::2]
    return [piece.removeprefix(b"data: ").removesuffix(b"\n\n") for piece in pieces if piece]


async def test_html_and_empty_are_successes_without_content(raw: RawClient) -> None:
    """Both answer 200; one with a page, the other with no byte."""
    heard = await raw.ask(ask("html"))
    assert (heard.status, "text/html" in heard.head, heard.body[:9]) == (200, True, b"<!doctype")
    heard = await raw.ask(ask("empty"))
    assert (heard.status, "text/event-stream" in heard.head, heard.body) == (200, True, b"")


async def test_the_other_form_than_was_asked_for(raw: RawClient) -> None:
    """A stream is answered with one completion in JSON, a whole answer with a stream."""
    heard = await raw.ask(ask("other_form"))
    assert (heard.status, "content-type: application/json" in heard.head) == (200, True)
    assert orjson.loads(heard.body)["object"] == "chat.completion"
    heard = await raw.ask({**ask("other_form"), "stream": False})
    assert (heard.status, "content-type: text/event-stream" in heard.head) == (200, True)
    assert heard.body.startswith(b"data: {")
    assert heard.body.endswith(b"data: [DONE]\n\n")


async def test_an_error_under_a_status_of_200(raw: RawClient) -> None:
    """The body is OpenAI's error object."""
    heard = await raw.ask(ask("error_200"))
    assert (heard.status, orjson.loads(heard.body)["error"]["type"]) == (200, "server_error")


async def test_errors_in_the_stream(raw: RawClient) -> None:
    """As data with an error object, and as an event of the type `error`."""
    assert orjson.loads(events(await raw.ask(ask("error_data")))[-1])["error"]["type"] == "server_error"
    assert events(await raw.ask(ask("error_event")))[-1].startswith(b"event: error\ndata: {")


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("malformed", b'{"id": '), ("other_shape", b"[1,2]")],
)
async def test_chunks_that_are_no_chunks(raw: RawClient, fault: str, problem: bytes) -> None:
    """One event is no JSON, or JSON of another shape, between good ones and [DONE]."""
    received = events(await raw.ask(ask(fault)))
    assert received[-2:] == [problem, b"[DONE]"]
    assert all(orjson.loads(event)["choices"] for event in received[:-2])


async def test_a_chunk_that_is_no_utf8(raw: RawClient) -> None:
    """Its JSON would be a delta like the others, if the bytes of its text were text."""
    received = events(await raw.ask(ask("not_utf8")))
    with pytest.raises(UnicodeDecodeError):
        received[-2].decode()
    assert orjson.loads(received[-2].decode(errors="replace"))["choices"][0]["delta"]["content"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_was_cut_by_the_model(raw: RawClient, reason: str, stream: bool) -> None:
    """`after` tokens, billed as so many, end in order with a reason that is not `stop`."""
    body = {**ask(reason, after=5), "stream": stream, "stream_options": {"include_usage": True}}
    heard = await raw.ask(body)
    if stream:
        received = [orjson.loads(event) for event in events(heard) if event != b"[DONE]"]
        texts = [choice["delta"].get("content") for event in received for choice in event["choices"]]
        assert len([text for text in texts if text]) == 5
        choice, usage = received[-2]["choices"][0], received[-1]["usage"]
        assert heard.raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    else:
        answer = orjson.loads(heard.body)
        choice, usage = answer["choices"][0], answer["usage"]
    assert (choice["finish_reason"], usage["completion_tokens"]) == (reason, 5)


async def test_a_line_of_64_mib_is_made_as_it_is_read(upstream: Upstream) -> None:
    """All of it arrives in one line; while nobody reads, the upstream holds back the rest."""
    async with (
        httpx.AsyncClient(base_url=upstream.url) as client,
        client.stream("POST", "/chat/completions", json=ask("long_line", after=0)) as response,
    ):
        pieces = response.aiter_raw()
        await anext(pieces)
        assert (await client.post("/chat/completions", json=chat("hi"))).status_code == 200
        assert upstream.seen.requests[0].bytes_written < PIPES_BYTES
        longest = line = 0
        async for piece in pieces:
            first, *others = piece.split(b"\n")
            line += len(first)
            for other in others:
                longest, line = max(longest, line), len(other)
    assert LONG_LINE_BYTES < longest < LONG_LINE_BYTES + 1000


@pytest.mark.parametrize(("fault", "different"), [("flood", 50), ("repetition", 1)])
async def test_text_without_end(upstream: Upstream, fault: str, different: int) -> None:
    """It is sent as fast as it is read and no faster, each chunk in good form: other words every time, or the same."""
    async with httpx.AsyncClient(base_url=upstream.url) as client:
        async with client.stream("POST", "/chat/completions", json=ask(fault, after=0)) as response:
            lines = response.aiter_lines()
            texts: list[str] = []
            while len(texts) < 10_001:
                if line := (await anext(lines)).removeprefix("data: "):
                    texts.append(orjson.loads(line)["choices"][0]["delta"]["content"])
            assert (await client.post("/chat/completions", json=chat("hi"))).status_code == 200
            assert upstream.seen.requests[0].bytes_written < PIPES_BYTES
        await upstream.seen.until(lambda seen: seen.closed == 1)
    assert texts[0] == ""
    assert len(set(texts[1:])) >= different
    assert (len(set(texts[1:])) == 1) is (fault == "repetition")


async def test_text_without_end_may_be_paced(raw: RawClient, upstream: Upstream) -> None:
    """With `token_s` an endless answer comes at a model's speed."""
    await raw.open(ask("flood", after=0, token_s=3600))
    await raw.until(b"assistant")
    assert upstream.seen.last.chunks == 1
