"""The pages of the tool `fetch`, as settings have them."""

import ipaddress

import pytest

from configs.settings import load
from deployments.composition.pages import open_pages
from services.errors import InvalidRequest
from services.security.pages import PageUnavailable
from tests.services.security.receiver import receiver
from tests.services.security.test_pages import page

HERE = ipaddress.ip_network("127.0.0.1/32")


async def test_an_operator_opens_what_is_closed() -> None:
    """A server of their own by plain HTTP on a port of its own, and no other."""
    async with receiver(page(b"Hi", "content-type: text/plain")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        closed = open_pages(load([]))
        with pytest.raises(InvalidRequest):
            await closed.get(url)
        await closed.aclose()
        chosen = {"allow_http": True, "allow_ports": [server.port], "allow_private": [str(HERE)]}
        opened = open_pages(load([], {"tools": {"fetch": {**chosen, "max_bytes": 1_024}}}))
        assert (await opened.get(url)).body == b"Hi"
        with pytest.raises(InvalidRequest):
            await opened.get(f"http://127.0.0.2:{server.port}/")
        await opened.aclose()


async def test_limits_are_those_of_the_settings() -> None:
    """An answer that redirects once is one too many where none is allowed."""
    async with receiver(
        b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ) as server:
        chosen = {"allow_http": True, "allow_ports": [server.port], "allow_private": [str(HERE)], "max_redirects": 0}
        opened = open_pages(load([], {"tools": {"fetch": chosen}}))
        with pytest.raises(PageUnavailable, match="more than 0 times"):
            await opened.get(f"http://127.0.0.1:{server.port}/")
        await opened.aclose()
