"""Addresses that fail before any HTTP is spoken."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def unresolvable_url() -> str:
    """A host that no resolver knows: `.invalid` is kept free for this (RFC 6761, 6.4)."""
    return "http://provider.invalid/v1"


@contextmanager
def refused_url() -> Iterator[str]:
    """A port on loopback where nobody listens, and nobody else can while the context is open."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"


def over_tls(url: str) -> str:
    """The same address, spoken to with TLS: of a plain upstream, a handshake with somebody who speaks HTTP."""
    return url.replace("http://", "https://", 1)
