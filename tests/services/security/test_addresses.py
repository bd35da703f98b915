"""Which URLs may be called, as they are written, and which addresses."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.errors import InvalidRequest
from services.security.addresses import AddressPolicy, host_of, look_up

PUBLIC = AddressPolicy()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hooks?token=a%20b&c=%ff",
        "HTTPS://Example.COM:8443/",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://a_b.example.com?x",
        "https://" + "a" * 63 + ".example.com/",
        "https://example.com/" + "a" * (2_048 - 20),
    ],
)
def test_a_public_https_url_may_be_called(url: str) -> None:
    """Names, public addresses, any path and query."""
    PUBLIC.check(url)


@pytest.mark.parametrize(
    ("said", "url"),
    [
        *[
            ("must look like", url)
            for url in (
                "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
                "https:///x", "https:/example.com", "https://", "https://user@example.com/", "https://u:p@example.com/",
                "https://@example.com/", "https://example.com:443@evil.com/", "https://example.com\\@evil.com/",
                "https://example.com#@evil.com/", "https://example.com/#x", "https://exa mple.com/", " https://example.com",
                "https://example.com/\n", "https://example.com/a\tb", "https://example.com/\x00", "https://exämple.com/",
                "https://１２７.0.0.1/", "https://127。0。0。1/", "https://example.com/ö", "https://%31%32%37.0.0.1/",
                "https://127.0.0.1%00.example.com/", "https://[fe80::1%25eth0]/", "https://[::1", "https://example.com:４４３/",
                "https://example.com:/", "https://example.com:-1/", "https://example.com:+443/", "https://a,b/",
                "https://example.com:443:80/", "https://example.com/" + "a" * (2_049 - 20),
            )
        ],
        ("must begin with https://", "http://example.com/"),
        *[("port of the URL must be 443 or 8443", f"https://example.com:{port}/") for port in (0, 22, 80, 6379, 65535, 99999)],
        *[
            ("not an IP address in its usual form", f"https://{host}/")
            for host in (
                "2130706433", "017700000001", "0x7f000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.0x1",
                "127.0.0.01", "1.2.3.4.5", "256.0.0.1", "999", "a.1", "0x", "[1:2]", "[::1::]", "[8.8.8.8]",
                "[::127.0.0.999]",
            )
        ],
        *[
            ("not a public address", f"https://{host}/")
            for host in (
                "127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "255.255.255.255", "[::1]", "[::]",
                "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:8.8.8.8]", "[64:ff9b::10.0.0.1]", "[2002:7f00:1::]",
                "[::127.0.0.1]",
            )
        ],
        *[
            ("not a host name", f"https://{host}/")
            for host in (
                "-a.com", "a-.com", "a..com", ".com", "example.com.", "127.0.0.1.", "..", "a" * 64 + ".com", "a." * 126 + "co",
            )
        ],
        *[
            ("not a public name", f"https://{host}/")
            for host in ("localhost", "LOCALHOST", "postgres", "a.localhost", "printer.local", "metadata.google.internal")
        ],
    ],
)  # fmt: skip
def test_anything_else_is_refused(said: str, url: str) -> None:
    """The refusal says what is wrong, names the parameter, and repeats nothing of the URL."""
    with pytest.raises(InvalidRequest, match=said) as caught:
        PUBLIC.check(url, param="webhook_url")
    assert caught.value.param == "webhook_url"
    assert "evil" not in caught.value.message


NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.1", "100.127.255.255", "100.100.100.200",
    "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:1::1", "2001:20::1",
    "2001:db8::1", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    """Loopback, private, shared, link-local, metadata, reserved, multicast, and IPv6 that stands for an IPv4 address."""
    assert not PUBLIC.permits(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.32.0.0", "223.255.255.255",
     "2000::1", "2606:4700::1111", "2a00::1", "3ffe::1"],
)  # fmt: skip
def test_a_public_address_is_permitted(address: str) -> None:
    """What lies next to the special ranges is not taken for one of them."""
    assert PUBLIC.permits(address)


@pytest.mark.parametrize("text", ["", "localhost", "1", "127.1", "0177.0.0.1", "::1::", "1.2.3.4:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Only an address in its usual form is one."""
    assert not AddressPolicy(allow_private=(ipaddress.ip_network("0.0.0.0/0"),)).permits(text)


@given(st.ip_addresses())
@example(ipaddress.ip_address("::ffff:10.0.0.1"))
def test_no_opinion_of_pythons_is_overruled(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever Python takes for private, multicast, reserved or the like is refused; much of what it does not is as well."""
    kinds = (address.is_private, address.is_multicast, address.is_reserved, address.is_loopback, address.is_link_local)
    if PUBLIC.permits(str(address)):
        assert address.is_global
        assert not any(kinds)


def test_a_private_network_can_be_opened() -> None:
    """What an operator lists may be called, and its neighbour may not; names without a dot may then be, too."""
    opened = AddressPolicy(allow_private=(ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd12::/16")))
    assert opened.permits("10.20.3.4")
    assert opened.permits("fd12::1")
    assert opened.permits("8.8.8.8")
    assert not opened.permits("10.21.0.1")
    assert not opened.permits("127.0.0.1")
    opened.check("https://10.20.3.4/")
    opened.check("https://receiver/")


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "fd00:ec2::254", "168.63.129.16", "::ffff:8.8.8.8", "64:ff9b::1.1.1.1", "2002::1",
     "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"],
)  # fmt: skip
def test_some_addresses_are_never_opened(address: str) -> None:
    """However wide a network an operator lists: metadata, multicast, and addresses that stand for others."""
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert not AddressPolicy(allow_private=everything).permits(address)
    assert AddressPolicy(allow_private=everything).permits("127.0.0.1")


def test_hosts_can_be_listed() -> None:
    """With a list no other host may be called; a star stands for any host below, not for the host itself or a suffix."""
    listed = AddressPolicy(hosts=("hooks.example.com", "*.Partner.example"))
    for host in ("hooks.example.com", "HOOKS.example.com", "a.partner.example", "a.b.partner.example"):
        listed.check(f"https://{host}/")
    for host in ("example.com", "a.hooks.example.com", "partner.example", "evilpartner.example", "8.8.8.8"):
        with pytest.raises(InvalidRequest, match="not one that may be called"):
            listed.check(f"https://{host}/")


def test_a_log_names_the_host_alone() -> None:
    """Neither path, query, port nor user is in what may be logged, and what is no URL has no host."""
    assert host_of("https://Hooks.example.com:8443/secret?token=x") == "hooks.example.com"
    assert host_of("https://user:secret@example.com/") == "?"


def test_this_machine_resolves() -> None:
    """The lookup returns addresses as text, each once per kind of socket."""
    assert look_up("127.0.0.1", 443) == ["127.0.0.1"]
