"""Whom a call reaches, and whether somebody has named them."""

import time

import pytest

from graphs.tools.declaration import Sink
from graphs.tools.targets import MAX_TARGET_CHARS, MAX_TARGETS, UsersWords, allows, targets_of


def named(said: str, value: object, sink: Sink) -> bool:
    """Whether the user has named every target of an argument."""
    targets = targets_of(value, sink)
    return bool(targets) and all(UsersWords([said]).name(target, sink) for target in targets or ())


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("Read https://good.com/news and tell me", "https://good.com/other?page=2"),
        ("What is on good.com?", "https://good.com/"),
        ("What is on Good.COM.", "https://GOOD.com"),
        ("(see https://good.com:8443/a)", "https://good.com/b"),
        ("Compare good.com/a, www.good.org/b", "https://www.good.org/b"),
        ('the page "https://good.com/x"', "https://good.com"),
    ],
)
def test_a_host_that_the_user_has_named(said: str, value: str) -> None:
    """Its pages may be asked for, however the user wrote it."""
    assert named(said, value, "url")


@pytest.mark.parametrize(
    "value",
    [
        "https://good.com.evil.example/",
        "https://evil.example/?x=good.com",
        "https://evil.example/good.com",
        "https://evil.example#good.com",
        "https://good.com@evil.example/",
        "https://good.com:pass@evil.example/",
        "https://evil.example\\@good.com/",
        "https://sub.good.com/",
        "https://notgood.com/",
        "https://com/",
        "https://g\N{CYRILLIC SMALL LETTER O}od.com/",
        "https://good\N{FULLWIDTH FULL STOP}com/",
        "https://\N{FULLWIDTH LATIN SMALL LETTER G}ood.com/",
        "https://good.com\N{ZERO WIDTH SPACE}/",
        "https://xn--gd-hia.com/",
        "//good.com/",
        "javascript:good.com",
        "https://good.com/ https://evil.example/",
        "https://good.com/\n",
        "good.com",
        ["https://good.com/", "https://evil.example/"],
        {"url": "https://good.com/"},
        7,
        True,
    ],
)
def test_hosts_that_the_user_has_not_named(value: object) -> None:
    """Whatever only holds the name, or looks like it, is another host, or none for certain."""
    assert not named("Read https://good.com/news for me, and README.md", value, "url")


@pytest.mark.parametrize(
    "said", ["evil.example/?u=https://good.com", "https://evil.example/a,good.com", "[x](good.com)"]
)
def test_a_name_within_anothers_address_is_not_named(said: str) -> None:
    """What the user wrote is read from its beginning."""
    assert not named(said, "https://good.com/", "url")


def test_a_file_is_not_a_host() -> None:
    """Some endings of files are domains: whoever speaks of a file does not mean the host of that name."""
    assert not named("Correct README.md and setup.py", "https://readme.md/", "url")
    assert named("Read https://readme.md/x", "https://readme.md/", "url")


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("Write to bob@good.com.", "bob@good.com"),
        ("Write to Bob <Bob@Good.com>, please", "bob@good.com"),
        ("to bob@good.com,amy@good.com", ["bob@good.com", "amy@good.com"]),
        ("to bob@good.com and amy@good.com", "amy@good.com; bob@good.com"),
        ("Post it in #general", "general"),
        ("Post it in general", "#general"),
        ("Tell @alice about it", "alice"),
        ("Tell Alice Smith about it", "Alice Smith"),
        ("Pay GB29 NWBK 6016 1331 9268 19 its 5 pounds", "GB29NWBK60161331926819"),
        ("Call +41 44 668 18 00", "+41446681800"),
        ("Book room 12", 12),
    ],
)
def test_a_recipient_whom_the_user_has_named(said: str, value: object) -> None:
    """By an address, a handle, a name or a number, in the user's own way of writing it."""
    assert named(said, value, "recipient")


@pytest.mark.parametrize(
    "value",
    [
        "bob@good.com.evil.example",
        "xbob@good.com",
        "bob@good",
        "good.com",
        "bob",
        "bob@good.com@evil.example",
        "bob@good.com <eve@evil.example>",
        "eve@evil.example,bob@good.com",
        "bob@good.com\nBcc: eve@evil.example",
        "bob@good.com\u200b",
        "b\N{CYRILLIC SMALL LETTER O}b@good.com",
        "bob@g\N{GREEK SMALL LETTER OMICRON}od.com",
        "ban\N{KELVIN SIGN}",
        "alice_",
        "_alice",
        "alice.",
        "alicesmith",
        "Smith Alice",
        "123456",
        {"to": "bob@good.com"},
        1.5,
        [["bob@good.com"]],
        ["bob@good.com"] * (MAX_TARGETS + 1),
    ],
)
def test_recipients_whom_the_user_has_not_named(value: object) -> None:
    """A part of an address, more than one, another letter, a handle that only looks like a name: none of them is it."""
    assert not named("Write to bob@good.com, Alice Smith and the bank. The code is 1234567.", value, "recipient")


@pytest.mark.parametrize(
    ("value", "is_named"),
    [
        ("reports/q3.txt", True),
        ("q3.txt", False),
        ("reports/q3.txt.bak", False),
        ("reports/../reports/q3.txt", False),
        ("reports\\q3.txt", False),
        ("my notes.txt", True),
    ],
)
def test_a_path_is_named_as_a_whole(value: str, is_named: bool) -> None:
    """Neither its end alone nor a way round is the file."""
    assert named("Delete reports/q3.txt and 'my notes.txt'", value, "path") is is_named


@pytest.mark.parametrize("value", [None, "", []])
def test_an_argument_that_is_left_empty_names_nobody(value: object) -> None:
    """An optional recipient that is not there is no target, and no doubt either."""
    assert targets_of(value, "recipient") == ()


@pytest.mark.parametrize(
    ("piece", "value", "sink"),
    [
        ("1 ", "1" * 2_000, "recipient"),
        ("1 ", "1" * 63 + "2", "recipient"),
        ("a ", "a " * 1_000 + "b", "recipient"),
        ("a.", "https://a.b/", "url"),
        ("https://", "https://a.b/", "url"),
        ("a" * 253 + " ", "https://a.b/", "url"),
        ("((((", "x", "path"),
    ],
)
def test_looking_a_target_up_is_linear(piece: str, value: str, sink: Sink) -> None:
    """Both come from somebody who may want a replica to stand still: of 1 MB of words 5 s would be far from linear."""
    said = piece * (1_048_576 // len(piece))
    started = time.perf_counter()
    assert not named(said, value, sink)
    assert time.perf_counter() - started < 5.0


def test_a_target_without_end_is_none() -> None:
    """It is not looked up at all."""
    assert targets_of("x" * (MAX_TARGET_CHARS + 1), "recipient") is None


@pytest.mark.parametrize(
    ("pattern", "target", "sink", "allowed"),
    [
        ("api.good.com", "api.good.com", "url", True),
        ("*.Good.com", "api.good.com", "url", True),
        ("*.good.com", "good.com", "url", False),
        ("*.good.com", "evilgood.com", "url", False),
        ("*.good.com", "good.com.evil.example", "url", False),
        ("*@good.com", "bob@good.com", "recipient", True),
        ("*@good.com", "bob@sub.good.com", "recipient", False),
        ("*@good.com", "@good.com", "recipient", False),
        ("*", "bob@good.com", "recipient", False),
        ("reports/*", "reports/a/b.txt", "path", True),
        ("reports/*", "reports2/a.txt", "path", False),
        ("reports/*", "reports", "path", False),
    ],
)
def test_the_operators_list(pattern: str, target: str, sink: Sink, allowed: bool) -> None:
    """It has targets as they are, and the hosts, addresses and paths below one."""
    assert allows([pattern], target, sink) is allowed
