"""Requests to URLs that somebody else chose, which must not reach what only we can reach.

`AddressPolicy.check` reads a URL as it is written: for whoever takes one in, and, in `guarded_session`, before every request
and every hop of a redirect. What a name stands for is known when a connection is made, and may be another thing each time
(DNS rebinding). So there a name is resolved once, every address that it has is checked, and the socket goes to one of those:
no socket is made for an address that was not checked. Host header, SNI and certificate are the name's all the same.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from services.errors import InvalidRequest

MAX_URL_CHARS = 2_048
MAX_HOST_CHARS = 253
MAX_BUFFERED_BYTES = 4_096
"""Of an answer that nobody reads."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lookup = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host as text. Called in a thread, for it may wait; raises OSError."""

# Narrower than any standard: what two parsers could read in two ways is not a URL here.
_URL = re.compile(r"(?i:(https?))://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?(?:[/?][!-\"$-\[\]-~]*)?")
_LABEL = re.compile(r"(?!-)[0-9a-z_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


_NEVER = (
    # Link-local, where clouds keep the metadata of a machine and its keys, and where else they do.
    *_networks("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    *_networks("fd00:ec2::/32", "fd20:ce::254/128"),
    # "This host", multicast, reserved, broadcast.
    *_networks("0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8"),
    # IPv6 that stands for an IPv4 address: mapped, translated, NAT64, 6to4, Teredo.
    *_networks("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
)
"""Refused even where an operator's `allow_private` covers it."""

_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL = (
    # IANA's registry of special-purpose addresses, RFC 6890; what is not in 2000::/3 need not be listed.
    *_networks("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *_networks("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *_networks("2001::/23", "2001:db8::/32", "3fff::/20"),
)


class AddressRefused(OSError):
    """A connection that was not made: the address is not public, or the name has one that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """Which URLs may be called. `hosts`, unless empty, are the only ones; `*.example.com` is every host below that.

    `allow_private` are networks that are not public and may be reached all the same. It opens neither link-local addresses
    nor any that stand for another one.
    """

    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({443, 8443})
    hosts: tuple[str, ...] = ()
    allow_private: tuple[Network, ...] = ()

    def check(self, url: str, *, param: str | None = None) -> None:
        """Raise InvalidRequest, which repeats nothing of the URL, unless it may be called as far as can be read off it."""
        match = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
        if match is None:
            form = "https://host/path, in ASCII, without a user name and a fragment"
            raise InvalidRequest(f"The URL must look like {form}, at most {MAX_URL_CHARS} characters.", param=param)
        scheme, host = match[1].lower(), match[2].lower()
        port = int(match[3] or (443 if scheme == "https" else 80))
        if scheme not in self.schemes:
            raise InvalidRequest(f"The URL must begin with {_one_of(self.schemes)}://.", param=param)
        if port not in self.ports:
            raise InvalidRequest(f"The port of the URL must be {_one_of(self.ports)}.", param=param)
        if self.hosts and not any(_covers(pattern.lower(), host) for pattern in self.hosts):
            raise InvalidRequest("The host of the URL is not one that may be called.", param=param)
        if problem := self._problem_of(host):
            raise InvalidRequest(f"The host of the URL {problem}.", param=param)

    def permits(self, address: str) -> bool:
        """Whether a socket may be connected to this address."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if getattr(ip, "scope_id", None) or any(ip in network for network in _NEVER):
            return False
        if any(ip in network for network in self.allow_private):
            return True
        # Python's own table is asked too: it may have learnt of a range that ours has not.
        return ip.is_global and (ip.version == 4 or ip in _GLOBAL_6) and not any(ip in network for network in _SPECIAL)

    def _problem_of(self, host: str) -> str | None:
        labels = host.split(".")
        if host.startswith("[") or _NUMBER.fullmatch(labels[-1]):
            # The whole host is then an address (WHATWG URL, 3.5), and 127.1, 0x7f.1 and 2130706433 are one as well.
            if not _is_usual(host):
                return "is not an IP address in its usual form"
            return None if self.permits(host.strip("[]")) else "is not a public address"
        if len(host) > MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, labels)):
            return "is not a host name"
        if not self.allow_private and (len(labels) == 1 or host.endswith(_PRIVATE_SUFFIXES)):
            return "is not a public name"
        return None


def host_of(url: str) -> str:
    """Return the host of a URL, which is what a log may say of it: its path or query may hold a token."""
    match = _URL.fullmatch(url)
    return "?" if match is None else match[2].lower()


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as this machine resolves it. Blocks; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


def guarded_session(
    policy: AddressPolicy,
    *,
    max_connections: int = 32,
    lookup: Lookup = look_up,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """Return a session that calls what the policy allows and nothing else. Close it.

    A request, or a hop of a redirect that it follows, raises InvalidRequest for its URL; for its address it raises
    `aiohttp.ClientConnectorError` with an AddressRefused as `os_error`. It has no time limit, no proxy, no cookies, and a
    connection for each request.
    """

    async def checked(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        policy.check(str(request.url))
        return await handler(request)

    def opened(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not policy.permits(str(address[0])):
            raise AddressRefused("the address is not public")
        return socket.socket(family, kind, protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_CheckedResolver(policy, lookup, threads=max_connections),
            use_dns_cache=False,  # it would keep what an attacker's server says for others to find
            socket_factory=opened,
            force_close=True,
            limit=max_connections,
            ssl=tls or True,
        ),
        middlewares=(checked,),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=MAX_BUFFERED_BYTES,
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )


class _CheckedResolver(AbstractResolver):
    """Resolves in threads of its own: a name server that an attacker lets hang delays nobody else's lookups."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup, *, threads: int) -> None:
        self._policy = policy
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="guarded-lookup")  # they end with the session

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        # All of them or none: a name with a public and a private address is not one that we have any business with.
        if not addresses or not all(map(self._policy.permits, addresses)):
            raise AddressRefused("the name has no address, or one that is not public")
        return [_resolved(host, address, port) for address in dict.fromkeys(addresses)]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _is_usual(host: str) -> bool:
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        else:
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _covers(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _one_of(allowed: frozenset[str] | frozenset[int]) -> str:
    return " or ".join(map(str, sorted(allowed)))
