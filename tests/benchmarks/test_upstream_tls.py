"""The simulated upstream: what fails before HTTP."""

import asyncio
import socket
import ssl

import httpx
import pytest

from benchmarks.upstream import CERTIFICATES, Directive, Upstream, over_tls, refused_url, unresolvable_url
from benchmarks.upstream.certificates import Credentials
from tests.benchmarks.conftest import chat

REASONS = {
    "expired": "certificate has expired",
    "wrong_host": "IP address mismatch",
    "self_signed": "self-signed certificate",
}


async def asked(upstream: Upstream) -> httpx.Response:
    """The answer to a client that trusts the upstream's authority alone, and verifies everything."""
    context = ssl.create_default_context(cafile=str(upstream.ca_file))
    async with httpx.AsyncClient(base_url=upstream.url, verify=context) as client:
        return await client.post("/chat/completions", json=chat("hi"))


def test_every_certificate_is_tested_here() -> None:
    """One is right, of the others it is known what a client says."""
    assert {"valid"} | REASONS.keys() == CERTIFICATES.keys()


async def test_a_valid_certificate_is_trusted() -> None:
    """By its authority, for the address in the URL; streams and records are as without TLS."""
    async with Upstream(tls="valid") as upstream:
        assert upstream.url.startswith("https://127.0.0.1:")
        assert (await asked(upstream)).text.endswith("data: [DONE]\n\n")
        await upstream.seen.until(lambda seen: seen.connected == 0)
        assert (upstream.seen.accepted, upstream.seen.completed) == (1, 1)


@pytest.mark.parametrize("kind", sorted(REASONS))
async def test_each_wrong_certificate_is_wrong_in_its_own_way(kind: str) -> None:
    """The client gives up in the handshake and says why; the upstream sees a connection and never a request."""
    async with Upstream(tls=kind) as upstream:
        with pytest.raises(httpx.ConnectError, match=REASONS[kind]):
            await asked(upstream)
        assert (upstream.seen.accepted, upstream.seen.received) == (1, 0)


async def test_an_authority_that_nobody_trusts_is_refused() -> None:
    """Without the authority's file even the valid certificate is not."""
    async with Upstream(tls="valid") as upstream, httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError, match="unable to get local issuer certificate"):
            await client.get(f"{upstream.url}/models")


async def test_faults_work_below_tls() -> None:
    """A reset is a reset, a cut is a cut, and a client that leaves is seen."""
    async with Upstream(tls="valid") as upstream:
        context = ssl.create_default_context(cafile=str(upstream.ca_file))
        async with httpx.AsyncClient(base_url=upstream.url, verify=context) as client:
            for fault in ("reset", "torn"):
                question = Directive(fault=fault).in_message()
                with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                    await client.post("/chat/completions", json=chat(question))
            question = Directive(fault="stall").in_message()
            async with client.stream("POST", "/chat/completions", json=chat(question)) as response:
                await anext(response.aiter_bytes())
            await upstream.seen.until(lambda seen: seen.closed == 1)


async def test_a_restarted_upstream_keeps_its_certificate() -> None:
    """What a client has trusted once it trusts again."""
    upstream = Upstream(tls="valid")
    for _ in range(2):
        async with upstream:
            assert (await asked(upstream)).status_code == 200


async def test_tls_to_a_port_that_speaks_http(upstream: Upstream) -> None:
    """The handshake is answered in plain text, which no TLS client takes for a server's hello."""
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError, match=r"(?i)wrong.version.number|record layer failure"):
            await client.get(f"{over_tls(upstream.url)}/models")
    await upstream.seen.until(lambda seen: seen.accepted == 1 and seen.connected == 0)


def test_a_plain_upstream_has_no_authority() -> None:
    """Asking for its file is a mistake in the test."""
    with pytest.raises(ValueError, match="without TLS"):
        _ = Upstream().ca_file


def test_an_unknown_certificate_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match="no certificate 'forged'; there are: valid, expired"):
        Upstream(tls="forged")


def test_files_go_with_their_credentials() -> None:
    """Nothing is left in the temporary folder."""
    credentials = Credentials("valid")
    file = credentials.ca_file
    assert file.exists()
    del credentials
    assert not file.parent.exists()


async def test_an_unresolvable_name_is_known_to_nobody() -> None:
    """The resolver says that there is no such host."""
    host = httpx.URL(unresolvable_url()).host
    with pytest.raises(socket.gaierror):
        await asyncio.get_running_loop().getaddrinfo(host, 80)


async def test_a_refused_port_is_kept_for_nobody() -> None:
    """Connecting is refused at once, and no other server can take the port meanwhile; afterwards it is free."""
    with refused_url() as url:
        port = httpx.URL(url).port or 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(OSError, match="in use"):
            await Upstream(port=port).start()
    async with Upstream(port=port) as upstream:
        assert upstream.port == port
