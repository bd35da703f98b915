"""A guarded session makes connections to addresses that were checked, and to no others."""

import ipaddress
import ssl
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.errors import InvalidRequest
from services.security.addresses import AddressPolicy, AddressRefused, guarded_session
from tests.services.security.receiver import OK, answer, receiver

HERE = ipaddress.ip_network("127.0.0.1/32")


def allowing(port: int) -> AddressPolicy:
    """A policy under which a test's own server may be called."""
    return AddressPolicy(schemes=frozenset({"http", "https"}), ports=frozenset({port}), allow_private=(HERE,))


class Names:
    """Resolves whatever it is asked to the next of `answers`, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def status_of(session: aiohttp.ClientSession, url: str) -> int:
    async with session.post(url) as answered:
        return answered.status


async def refused(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a request ends because its address was refused."""
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await session.post(url)
    return isinstance(caught.value.os_error, AddressRefused)


async def test_a_name_that_turns_private_is_not_reached() -> None:
    """DNS rebinding: each request resolves once and goes to what was checked; the next answer is checked anew."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with (
        receiver() as good,
        receiver(host="127.0.0.2", port=good.port) as inner,
        guarded_session(allowing(good.port), lookup=names) as session,
    ):
        url = f"http://rebind.example:{good.port}/"
        assert await status_of(session, url) == 204
        assert names.asked == ["rebind.example"]
        assert await refused(session, url)
    assert names.asked == ["rebind.example"] * 2
    assert (good.connections, inner.connections) == (1, 0)
    assert good.received[0].headers["host"] == f"rebind.example:{good.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "::1"], ["169.254.169.254"], []])
async def test_every_address_of_a_name_is_checked(addresses: list[str]) -> None:
    """One that may not be called is enough to refuse the name, wherever it stands; so is none at all."""
    async with receiver() as good, guarded_session(allowing(good.port), lookup=Names(addresses)) as session:
        assert await refused(session, f"http://mixed.example:{good.port}/")
    assert good.connections == 0


async def test_the_next_address_is_tried() -> None:
    """Of several that may be called the first that answers is taken."""
    async with receiver() as good:
        two = replace(allowing(good.port), allow_private=(ipaddress.ip_network("127.0.0.0/8"),))
        async with guarded_session(two, lookup=Names(["127.0.0.2", "127.0.0.1"])) as session:
            assert await status_of(session, f"http://two.example:{good.port}/") == 204


async def test_the_socket_is_the_last_to_refuse() -> None:
    """An address in a URL is resolved by nobody: were the URL's own check to let it pass, no socket would be made for it."""

    class Careless(AddressPolicy):
        def check(self, url: str, *, param: str | None = None) -> None:
            """Let everything pass."""

    async with receiver(host="127.0.0.2") as inner:
        names = Names(["127.0.0.1"])
        async with guarded_session(Careless(allow_private=(HERE,)), lookup=names) as session:
            assert await refused(session, f"http://127.0.0.2:{inner.port}/")
    assert inner.connections == 0
    assert names.asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/", "http://127.0.0.1:1/", "http://0x7f.1:{port}/", "//localhost/"]
)
async def test_a_redirect_is_checked_like_any_url(target: str) -> None:
    """A session that is told to follow redirects checks every hop, before it connects."""
    async with receiver(host="127.0.0.1") as good, receiver(host="127.0.0.2", port=good.port) as inner:
        good.answers = [answer("307 Temporary Redirect", f"location: {target.format(port=good.port)}")]
        async with guarded_session(allowing(good.port)) as session:
            with pytest.raises(InvalidRequest):
                await session.post(f"http://127.0.0.1:{good.port}/")
    assert (good.connections, inner.connections) == (1, 0)


async def test_a_redirect_to_where_it_may_go_is_followed() -> None:
    """The check of hops refuses no redirect as such."""
    async with (
        receiver(answer("302 Found", "location: /there"), OK) as good,
        guarded_session(allowing(good.port)) as session,
    ):
        assert await status_of(session, f"http://127.0.0.1:{good.port}/here") == 204
    assert [request.line for request in good.received] == ["POST /here HTTP/1.1", "GET /there HTTP/1.1"]


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name itself, and reach what it can reach."""
    async with receiver() as good, receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with guarded_session(allowing(good.port)) as session:
            assert await status_of(session, f"http://127.0.0.1:{good.port}/") == 204
    assert proxy.connections == 0


async def test_no_cookie_is_kept() -> None:
    """What one receiver sets is not told to the next, who may be another tenant's."""
    async with (
        receiver(answer("200 OK", "set-cookie: a=b; domain=example")) as good,
        guarded_session(allowing(good.port), lookup=Names(["127.0.0.1"])) as session,
    ):
        for name in ("one", "one", "two"):
            assert await status_of(session, f"http://{name}.example:{good.port}/") == 200
    assert not any("cookie" in request.headers for request in good.received)


async def test_names_are_resolved_in_threads_of_their_own() -> None:
    """A name server that hangs takes no thread from those in which everybody else resolves."""
    names = Names(["127.0.0.1"])
    async with receiver() as good, guarded_session(allowing(good.port), lookup=names) as session:
        await status_of(session, f"http://slow.example:{good.port}/")
    assert names.threads
    assert all(name.startswith("guarded-lookup") for name in names.threads)


def certificate_for(name: str, folder: Path) -> Path:
    """A file with a self-signed certificate and its key."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


async def test_the_certificate_is_the_names(tmp_path: Path) -> None:
    """The connection goes to the checked address; SNI, certificate and Host are those of the name."""
    pem = certificate_for("hooks.example", tmp_path)
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    client = ssl.create_default_context(cafile=str(pem))
    async with receiver(tls=server) as good:
        async with guarded_session(allowing(good.port), lookup=Names(["127.0.0.1"]), tls=client) as session:
            assert await status_of(session, f"https://hooks.example:{good.port}/") == 204
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.post(f"https://other.example:{good.port}/")
        async with guarded_session(allowing(good.port), lookup=Names(["127.0.0.1"])) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.post(f"https://hooks.example:{good.port}/")
    assert asked == ["hooks.example", "other.example", "hooks.example"]
    assert [request.headers["host"] for request in good.received] == [f"hooks.example:{good.port}"]
