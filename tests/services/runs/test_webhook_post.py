"""One attempt over real sockets: what is sent, what each answer means, and where it does not go."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.runs.webhook_post import HttpPost, Posted
from services.security.addresses import AddressPolicy, Lookup, guarded_session
from tests.services.security.receiver import answer, receiver

HEADERS = {"webhook-id": "msg_1", "webhook-timestamp": "1000", "webhook-signature": "v1,x"}
NOT_PUBLIC = Posted(problem="the host's address is not public")


def to_here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def posting(port: int, *, lookup: Lookup = to_here, private: str = "127.0.0.1/32") -> AsyncIterator[HttpPost]:
    policy = AddressPolicy(
        schemes=frozenset({"http", "https"}),
        ports=frozenset({port}),
        allow_private=(ipaddress.ip_network(private),),
    )
    post = HttpPost(guarded_session(policy, lookup=lookup))
    try:
        yield post
    finally:
        await post.aclose()


async def test_the_message_is_sent_as_it_is() -> None:
    """One POST with the bytes that were signed, JSON, no compression, no cookies."""
    async with receiver() as hook, posting(hook.port) as post:
        assert await post(f"http://hook.example:{hook.port}/a?token=b", HEADERS, b'{"a": "\xc3\xa4"}') == Posted()
    [request] = hook.received
    assert request.line == "POST /a?token=b HTTP/1.1"
    assert request.body == b'{"a": "\xc3\xa4"}'
    assert request.headers == {
        "host": f"hook.example:{hook.port}",
        "content-type": "application/json",
        "content-length": "11",
        "user-agent": "Mainstay-Webhooks/1",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        **HEADERS,
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (answer("200 OK"), Posted()),
        (answer("202 Accepted"), Posted()),
        (answer("299 Fine"), Posted()),
        (answer("200 OK", "content-encoding: gzip"), Posted()),
        (answer("301 Moved Permanently", "location: http://hook.example/"), Posted(problem="HTTP 301")),
        (answer("307 Temporary Redirect", "location: /b"), Posted(problem="HTTP 307")),
        (answer("400 Bad Request"), Posted(problem="HTTP 400")),
        (answer("404 Not Found"), Posted(problem="HTTP 404")),
        (answer("410 Gone"), Posted(problem="HTTP 410", final=True)),
        (answer("429 Too Many Requests", "retry-after: 7"), Posted(problem="HTTP 429", retry_after_s=7.0)),
        (answer("503 Service Unavailable", "retry-after: 9"), Posted(problem="HTTP 503", retry_after_s=9.0)),
        (answer("500 Internal Server Error", "retry-after: 9"), Posted(problem="HTTP 500")),
        (b"", Posted(problem="the connection closed before the answer")),
        (b"HTTP/1.1 200", Posted(problem="the connection closed before the answer")),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Posted(problem="the answer is not readable HTTP")),
        (answer("200 OK", "x: " + "y" * 100_000), Posted(problem="the answer is not readable HTTP")),
    ],
)  # fmt: skip
async def test_what_an_answer_means(raw: bytes, expected: Posted) -> None:
    """2xx is a yes, 410 the last word, anything else worth another attempt; no redirect is followed."""
    async with receiver(raw) as hook, posting(hook.port) as post:
        assert await post(f"http://hook.example:{hook.port}/a", HEADERS, b"{}") == expected
    assert hook.connections == 1


async def test_the_body_of_an_answer_is_not_read() -> None:
    """A yes counts from its head; a receiver that then sends without end is hung up on."""
    endless = answer("200 OK").replace(b"content-length: 0", b"content-length: 999999999") + bytes(64 * 1_048_576)
    async with receiver(endless) as hook, posting(hook.port) as post:
        assert await post(f"http://hook.example:{hook.port}/", HEADERS, b"{}") == Posted()
        await hook.left.wait()


async def test_each_attempt_is_a_connection_of_its_own() -> None:
    """What a name stands for is looked up anew each time, so nothing is reused."""
    async with receiver() as hook, posting(hook.port) as post:
        for _ in range(2):
            assert await post(f"http://hook.example:{hook.port}/", HEADERS, b"{}") == Posted()
    assert hook.connections == 2


async def test_where_it_may_not_go() -> None:
    """An address that is not public is a problem as others are; a URL that is no longer allowed has no second attempt."""
    async with receiver() as hook, posting(hook.port, private="10.0.0.0/8") as post:
        assert await post(f"http://hook.example:{hook.port}/", HEADERS, b"{}") == NOT_PUBLIC
        refused = Posted(problem="The host of the URL is not a public address.", final=True)
        assert await post(f"http://127.0.0.1:{hook.port}/", HEADERS, b"{}") == refused
        wrong_port = await post("http://hook.example:1/", HEADERS, b"{}")
        assert (wrong_port.final, wrong_port.problem) == (True, f"The port of the URL must be {hook.port}.")
    assert hook.connections == 0


async def test_where_nobody_is() -> None:
    """A name that is not known, a port where nobody listens, and a server without TLS are told apart."""

    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, f"Name or service not known: {host}")

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with posting(port, lookup=unknown) as post:
            assert await post(f"http://hook.example:{port}/", HEADERS, b"{}") == Posted(problem="the host is not known")
        async with posting(port) as post:
            answered = await post(f"https://hook.example:{port}/", HEADERS, b"{}")
            assert answered == Posted(problem="no TLS connection that can be trusted")
    async with posting(port) as post:
        answered = await post(f"http://hook.example:{port}/", HEADERS, b"{}")
        assert answered == Posted(problem="the host cannot be reached")
