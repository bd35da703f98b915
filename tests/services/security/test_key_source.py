"""The identity provider's keys: fetched by real HTTP, rarely, by one request at a time, and good for a while without it."""

import asyncio
import gzip
import logging
import ssl

import pytest

from services.errors import ConfigurationError, IdentityUnavailable
from services.security.key_source import MAX_KEY_SET_BYTES, HttpKeySet, KeySource, KeysUnreachable, KeyTimes
from services.security.tokens import TokenHead
from tests.services.security.issuer import jwk, key_set
from tests.services.security.receiver import Receiver, receiver

TIMES = KeyTimes(ttl_s=300.0, cooldown_s=10.0, stale_s=3_600.0)
EC, ED = TokenHead(kid="ec", algorithm="ES256"), TokenHead(kid="ed", algorithm="EdDSA")
ONE, TWO = key_set(jwk("ec")), key_set(jwk("ec"), jwk("ed"))


def ok(body: bytes, *fields: str) -> bytes:
    head = "\r\n".join(("HTTP/1.1 200 OK", f"content-length: {len(body)}", *fields, "", "")).encode()
    return head + body


class Provider:
    """A `Fetch` in the test's hand: gives `body`, fails while that is None, and waits while `open` is not set."""

    def __init__(self, body: bytes | None = ONE) -> None:
        self.body = body
        self.asked = 0
        self.began = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.now = 1_000.0
        self.outcomes: list[str] = []
        self.source = KeySource(self, TIMES, clock=lambda: self.now, reported=self.outcomes.append)

    async def __call__(self) -> bytes:
        self.asked += 1
        self.began.set()
        await self.open.wait()
        if self.body is None:
            raise KeysUnreachable("HTTP 503")
        return self.body

    async def fetched(self) -> None:
        """Return when no fetch is under way."""
        if self.source._fetching is not None:
            await self.source._fetching

    async def has(self, head: TokenHead = EC) -> bool:
        return await self.source.find(head) is not None


async def test_keys_are_fetched_once_for_their_time() -> None:
    """However many ask, at once or one after the other."""
    provider = Provider()
    assert all(await asyncio.gather(*(provider.has() for _ in range(50))))
    provider.now += 299.9
    assert await provider.has()
    assert provider.asked == 1
    provider.now += 0.1
    assert all(await asyncio.gather(*(provider.has() for _ in range(50))))
    assert provider.asked == 2
    assert provider.outcomes == ["ok", "ok"]


async def test_a_key_that_was_withdrawn_is_gone_with_its_time() -> None:
    """And not before."""
    provider = Provider(TWO)
    assert await provider.has(ED)
    provider.body = ONE
    provider.now += 299.9
    assert await provider.has(ED)
    provider.now += 0.1
    assert not await provider.has(ED)
    assert await provider.has(EC)


async def test_a_new_key_is_found_when_the_first_token_names_it() -> None:
    """Without waiting for the keys' time to end."""
    provider = Provider()
    assert await provider.has()
    provider.body = TWO
    provider.now += 10.0
    assert await provider.has(ED)
    assert provider.asked == 2


async def test_a_flood_of_invented_names_is_no_flood_of_fetches() -> None:
    """One in ten seconds, whatever tokens say; and nobody who has a good one waits for it."""
    provider = Provider()
    assert await provider.has()
    for second in range(100):
        provider.now = 1_000.0 + second
        invented = [TokenHead(kid=f"k{second}-{n}", algorithm="ES256") for n in range(20)]
        assert not any(await asyncio.gather(*map(provider.has, invented)))
    assert provider.asked == 10
    provider.now += 10.0
    provider.open.clear()
    waiting = asyncio.create_task(provider.has(ED))
    await asyncio.sleep(0)
    assert await provider.has(EC)
    assert not waiting.done()
    provider.open.set()
    assert not await waiting


async def test_a_name_with_another_algorithm_is_another_key() -> None:
    """The algorithm is the key's, not the token's to choose."""
    provider = Provider()
    assert not await provider.has(TokenHead(kid="ec", algorithm="ES512"))


async def test_old_keys_are_good_for_a_while_when_the_provider_is_away() -> None:
    """Beyond that nothing is accepted, and it is said that it is not the caller's fault, and when to come again."""
    provider = Provider()
    assert await provider.has()
    provider.body = None
    provider.now += 3_899.9
    assert await provider.has()
    provider.now += 0.1
    with pytest.raises(IdentityUnavailable) as caught:
        await provider.has()
    assert 1.0 <= (caught.value.retry_after_s or 0.0) <= 10.0
    provider.body = ONE
    provider.now += 10.0
    assert await provider.has()


async def test_nobody_waits_for_a_provider_that_is_known_to_be_away() -> None:
    """The next fetch goes on in the background; it is not begun more often than that."""
    provider = Provider()
    assert await provider.has()
    provider.body = None
    provider.now += 300.0
    assert await provider.has()
    provider.open.clear()
    provider.now += 10.0
    assert await asyncio.wait_for(provider.has(), 5)
    await asyncio.sleep(0)
    assert provider.asked == 3
    provider.body = TWO
    provider.open.set()
    await provider.fetched()
    assert await provider.has(ED)
    assert provider.asked == 3


async def test_a_name_that_is_not_known_is_not_refused_while_the_provider_is_away() -> None:
    """It may be a new key's: 503, not 401."""
    provider = Provider()
    assert await provider.has()
    provider.body = None
    provider.now += 10.0
    with pytest.raises(IdentityUnavailable):
        await provider.has(ED)
    assert await provider.has(EC)


@pytest.mark.parametrize("body", [None, b"", b"<html>", b'{"keys": []}'])
async def test_without_any_keys_nobody_is_refused_or_let_in(body: bytes | None) -> None:
    """Away, or answering with something else; and it is asked again once in ten seconds only."""
    provider = Provider(body)
    for _ in range(3):
        with pytest.raises(IdentityUnavailable):
            await provider.has()
    assert (provider.asked, provider.outcomes) == (1, ["failed"])
    provider.now += 10.0
    provider.body = ONE
    assert await provider.has()
    assert not await provider.has(ED), "it is there again, so what it does not know is refused"


async def test_an_answer_that_is_no_key_set_does_not_take_the_keys_away() -> None:
    """It is a failed fetch like any other."""
    provider = Provider()
    assert await provider.has()
    provider.body = b'{"keys": []}'
    provider.now += 300.0
    assert await provider.has()
    assert provider.outcomes == ["ok", "failed"]


async def test_whoever_leaves_does_not_take_the_fetch_along() -> None:
    """A client that hangs up costs the others nothing."""
    provider = Provider()
    provider.open.clear()
    first, second = asyncio.create_task(provider.has()), asyncio.create_task(provider.has())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    provider.open.set()
    assert await second
    assert provider.asked == 1


async def test_a_slow_fetch_is_not_asked_a_second_time() -> None:
    """However long it takes: whoever comes meanwhile waits for that one."""
    provider = Provider()
    provider.open.clear()
    first = asyncio.create_task(provider.has())
    await provider.began.wait()
    provider.now += 11.0
    second = asyncio.create_task(provider.has())
    await asyncio.sleep(0)
    provider.open.set()
    assert await first
    assert await second
    assert provider.asked == 1


async def test_keys_that_did_not_change_stay_the_same_objects() -> None:
    """So that what was verified by them need not be verified again."""
    provider = Provider()
    before = await provider.source.find(EC)
    provider.now += 300.0
    assert await provider.source.find(EC) is before
    assert provider.asked == 2


async def test_closing_ends_a_fetch() -> None:
    """And closing without one ends nothing."""
    provider = Provider()
    await provider.source.aclose()
    provider.open.clear()
    waiting = asyncio.create_task(provider.has())
    await provider.began.wait()
    await provider.source.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_times_that_contradict_each_other() -> None:
    """Keys that may not be asked for when their time is over."""
    with pytest.raises(ConfigurationError, match="keys_cooldown_s"):
        KeyTimes(ttl_s=5.0, cooldown_s=6.0)


async def fetched(server: Receiver, *, path: str = "/jwks", timeout_s: float = 5.0) -> bytes:
    fetch = HttpKeySet(f"http://127.0.0.1:{server.port}{path}", timeout_s=timeout_s, allow_http=True)
    try:
        return await fetch()
    finally:
        await fetch.aclose()


async def test_the_set_is_had_by_http() -> None:
    """One plain GET, without a cookie or a body."""
    async with receiver(ok(TWO)) as server:
        assert await fetched(server) == TWO
    [asked] = server.received
    assert asked.line == "GET /jwks HTTP/1.1"
    assert "application/jwk-set+json" in asked.headers["accept"]
    assert "cookie" not in asked.headers


@pytest.mark.parametrize("size", [MAX_KEY_SET_BYTES, MAX_KEY_SET_BYTES + 1])
async def test_a_set_has_a_greatest_size(size: int) -> None:
    """Its last byte is read; one more is not."""
    async with receiver(ok(b" " * size)) as server:
        if size == MAX_KEY_SET_BYTES:
            assert len(await fetched(server)) == size
        else:
            with pytest.raises(KeysUnreachable, match="more than 262144 bytes"):
                await fetched(server)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", "no answer that can be read"),
        (b"nonsense\r\n\r\n", "no answer that can be read"),
        (ok(gzip.compress(b" " * 1_000_000), "content-encoding: gzip"), "compressed"),
        (None, "no answer within 0.2 s"),
    ],
)
async def test_answers_that_are_none(answer: bytes | None, problem: str) -> None:
    """A redirect is not followed; errors, half an answer, nonsense and silence are each named in our own words."""
    async with receiver(answer) as server:
        with pytest.raises(KeysUnreachable, match=problem):
            await fetched(server, timeout_s=0.2 if answer is None else 5.0)
    assert server.connections == 1


async def test_nobody_there() -> None:
    """A refused connection."""
    async with receiver() as server:
        gone = server
    with pytest.raises(KeysUnreachable, match="ClientConnectorError"):
        await fetched(gone)


@pytest.mark.parametrize("url", ["http://login.example.com/jwks", "file:///etc/passwd", "login.example.com", ""])
async def test_only_https_unless_it_is_allowed(url: str) -> None:
    """Whoever can change the keys on their way can sign for anybody."""
    with pytest.raises(ConfigurationError, match="https://"):
        HttpKeySet(url, timeout_s=1.0)
    if not url.startswith("http://"):
        with pytest.raises(ConfigurationError, match="https://"):
            HttpKeySet(url, timeout_s=1.0, allow_http=True)


async def test_a_certificate_that_nobody_vouches_for(caplog: pytest.LogCaptureFixture) -> None:
    """It is a failed fetch, and the log says so without the address."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with receiver(ok(ONE), tls=tls) as server:
        fetch = HttpKeySet(f"https://127.0.0.1:{server.port}/jwks?secret=s3cret", timeout_s=5.0)
        source = KeySource(fetch, TIMES, clock=lambda: 0.0, reported=lambda _: None)
        with caplog.at_level(logging.WARNING), pytest.raises(IdentityUnavailable):
            await source.find(EC)
        await fetch.aclose()
    assert "the identity provider's keys cannot be had" in caplog.text
    assert "s3cret" not in caplog.text
