"""Pages are read from checked addresses, on the site that was asked, and no further than asked."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.errors import InvalidRequest
from services.security.addresses import guarded_session
from services.security.pages import FetchLimits, HttpPages, Page, PageMoved, PageUnavailable
from tests.services.security.receiver import Receiver, answer, receiver
from tests.services.security.test_guarded_session import Names, allowing

HERE = ["127.0.0.1"]


def page(body: bytes, *fields: str) -> bytes:
    head = ["HTTP/1.1 200 OK", *fields, "connection: close", "", ""]
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def web(
    *answers: bytes | None, limits: FetchLimits | None = None, names: Sequence[Sequence[str]] = (HERE,)
) -> AsyncIterator[tuple[HttpPages, Receiver]]:
    """One server under every name that there is, unless `names` says what they stand for, one answer after the other."""
    async with receiver(*answers) as server:
        policy = allowing(server.port)
        pages = HttpPages(guarded_session(policy, lookup=Names(*names)), policy, limits)
        try:
            yield pages, server
        finally:
            await pages.aclose()


def at(server: Receiver, host: str = "example.com", path: str = "/") -> str:
    return f"http://{host}:{server.port}{path}"


async def test_a_page_is_read() -> None:
    """With what its server says of it; the request holds the address and nothing of ours."""
    async with web(page(b"<p>Hi", "content-type: Text/HTML; charset=latin-1", "set-cookie: a=b")) as (pages, server):
        url = at(server, path="/a?b=c")
        found = await pages.get(url)
        await pages.get(url)
    assert found == Page(url=url, media_type="text/html", charset="latin-1", body=b"<p>Hi", whole=True)
    request = server.received[1]
    assert request.line == "GET /a?b=c HTTP/1.1"
    assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert request.headers["accept-encoding"] == "identity"


async def test_no_more_is_read_than_the_limit() -> None:
    """A page without end is left, its connection closed."""
    endless = page(b"x" * 30_000_000, "content-type: text/plain")
    async with web(endless, limits=FetchLimits(max_bytes=1_000)) as (pages, server):
        found = await pages.get(at(server))
        assert (found.body, found.whole) == (b"x" * 1_000, False)
        await asyncio.wait_for(server.left.wait(), 5.0)


@pytest.mark.parametrize(
    ("location", "led_to"),
    [("/b", "example.com/b"), ("//www.example.com:{port}/b#part", "www.example.com/b"), ("?x=y", "example.com/?x=y")],
)
async def test_a_redirect_on_its_own_site_is_followed(location: str, led_to: str) -> None:
    """Relative, and between a host and its `www.`."""
    async with receiver(answer("302 Found"), page(b"there", "content-type: text/plain")) as server:
        server.answers[0] = answer("302 Found", f"location: {location.format(port=server.port)}")
        policy = allowing(server.port)
        pages = HttpPages(guarded_session(policy, lookup=Names(HERE)), policy)
        found = await pages.get(at(server))
        await pages.aclose()
    assert found.body == b"there"
    assert found.url.replace(f":{server.port}", "").removeprefix("http://") == led_to


@pytest.mark.parametrize("host", ["evil.example", "sub.example.com", "example.com.evil.example", "www.www.example.com"])
async def test_a_redirect_to_another_site_is_told_and_not_followed(host: str) -> None:
    """Whoever let a request go to one host has not let it go to any other."""
    async with web(b"") as (pages, server):
        server.answers[0] = answer("307 Temporary Redirect", f"location: {at(server, host, '/?secret')}")
        with pytest.raises(PageMoved) as moved:
            await pages.get(at(server))
        assert moved.value.url == at(server, host, "/?secret")
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/",
        "http://[::1]/",
        "file:///etc/passwd",
        "gopher://x",
        "http://user@example.com/",
        "http://2130706433/",
    ],
)
async def test_a_redirect_is_checked_like_any_url(location: str) -> None:
    """Addresses that are not public, other schemes, and what is no URL for certain."""
    async with web(answer("301 Moved", f"location: {location}")) as (pages, server):
        with pytest.raises(InvalidRequest):
            await pages.get(at(server))
    assert len(server.received) == 1


async def test_every_hop_is_resolved_and_checked() -> None:
    """A name that turns private between two requests is not reached (DNS rebinding)."""
    names = (HERE, ["169.254.169.254"])
    async with web(answer("302 Found", "location: /again"), names=names) as (pages, server):
        with pytest.raises(PageUnavailable, match="not at a public address"):
            await pages.get(at(server))
    assert server.connections == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:{port}/", "http://127.1:{port}/", "http://0x7f000001:{port}/", "ftp://x/"]
)
async def test_a_url_that_may_not_be_called_is_refused(url: str) -> None:
    """Before anything is connected."""
    async with web(b"") as (pages, server):
        with pytest.raises(InvalidRequest):
            await pages.get(url.format(port=server.port))
    assert server.connections == 0


async def test_a_host_in_other_letters_is_refused_before_it_is_translated() -> None:
    """The library would make an ASCII name of it, which is not what was looked at."""
    async with web(b"") as (pages, server):
        with pytest.raises(InvalidRequest):
            await pages.get(at(server, "ex\N{CYRILLIC SMALL LETTER A}mple.com"))


async def test_redirects_are_bounded() -> None:
    """A host that sends one round in circles is left after so many."""
    async with web(answer("302 Found", "location: /"), limits=FetchLimits(max_redirects=2)) as (pages, server):
        with pytest.raises(PageUnavailable, match="more than 2 times"):
            await pages.get(at(server))
    assert len(server.received) == 3


async def test_a_small_answer_does_not_become_a_large_one() -> None:
    """What is compressed without being asked for is not unpacked."""
    bomb = page(gzip.compress(b"x" * 10_000_000), "content-type: text/plain", "content-encoding: gzip")
    async with web(bomb) as (pages, server):
        with pytest.raises(PageUnavailable, match="compressed"):
            await pages.get(at(server))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer("404 Not Found"), "HTTP 404"),
        (answer("302 Found"), "HTTP 302"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "closed before the end"),
        (b"no HTTP at all\r\n\r\n", "not readable HTTP"),
        (b"", "closed before the end"),
    ],
    ids=["status", "redirect to nowhere", "cut off", "no HTTP", "nothing"],
)
async def test_a_page_that_cannot_be_read_is_explained(given: bytes, told: str) -> None:
    """In our words: nothing that a server said is repeated."""
    async with web(given) as (pages, server):
        with pytest.raises(PageUnavailable, match=told):
            await pages.get(at(server))


async def test_a_host_that_says_nothing_is_left() -> None:
    """The time limit is for the whole page."""
    async with web(None, limits=FetchLimits(timeout_s=0.05)) as (pages, server):
        with pytest.raises(PageUnavailable, match=r"within 0\.05 s"):
            await pages.get(at(server))


async def test_a_host_that_is_not_there() -> None:
    """It is said in two ways: the name stands for nothing, or nobody listens."""

    class Nobody(Names):
        def __call__(self, host: str, port: int) -> Sequence[str]:
            raise OSError("no such name")

    async with receiver() as server:
        port = server.port
    policy = allowing(port)
    for lookup, told in ((Nobody(), "not known"), (Names(HERE), "cannot be reached")):
        pages = HttpPages(guarded_session(policy, lookup=lookup), policy)
        with pytest.raises(PageUnavailable, match=told):
            await pages.get(f"http://example.com:{port}/")
        await pages.aclose()
