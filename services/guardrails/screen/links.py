"""Images and links to hosts that nobody named: who shows an image asks its host for it, and so tells it what the URL holds.

The hosts that may be named are those of the policy, and those in what the user wrote in this turn. Those in tool results may
not: an instruction that was slipped into a document brings its own address along.
"""

import html
import re
from collections.abc import Collection
from dataclasses import replace

from services.guardrails.screen.hold_back import MAX_HELD_CHARS
from services.guardrails.screen.rules import Mark, Rule, Spares
from services.guardrails.screen.shapes import Some, Word

_HOST = re.compile(r"(?:(?:https?|ftp):[/\\]*|[/\\]{2,})([^\s/\\?#\"'()<>\]]{1,255})", re.IGNORECASE)
"""A scheme or two slashes, and a host as browsers read it: they forgive slashes that are too few, too many or the wrong way."""

_TEXT = re.compile(r"\A(?:!\[[^\]]*)?\][(:]")
"""Before the address."""

_ESCAPE = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
"""Markdown's: the backslash before a punctuation mark."""

_BRACKET_OR_LINE_END = re.compile(r"\)|(?=\n)")
_ANGLE = re.compile(">")
_TO_THE_SPACE = re.compile(r"[^\s\"'`<>()\]]*+")


def hosts_of(item: str) -> list[str]:
    """Return the hosts that an image or a link names, in lower case, without user and port."""
    address = html.unescape(_TEXT.sub("", item))
    named = [*_HOST.findall(address), *_HOST.findall(_ESCAPE.sub("", address))]
    return [host.rpartition("@")[2].partition(":")[0].rstrip(".").lower() for host in named]


_MOST_ADDRESS = 1_000
"""Characters of an address that has yet to name its host: browsers skip any number of slashes before it."""


def _to_elsewhere(found: str, before: str, behind: str) -> int:
    """An image that lies beside the page, or in its own URL, tells nobody anything."""
    return len(found) if hosts_of(found) else 0


def _perhaps_to_elsewhere(found: str, before: str, behind: str) -> int:
    """As `_to_elsewhere`; an address so long that its host may come behind what was looked at is one to elsewhere."""
    return len(found) if hosts_of(found) or len(found) > _MOST_ADDRESS else 0


_BEGINNINGS = ((Some(r"hHfF/\\", 1, 1), Some(r"tT/\\&", 1, 1)), (Word("&"),))
"""Of an address with a host: a scheme or slashes, or what Markdown reads as one of these."""

_BEFORE = Some(r"\s<>", 0, MAX_HELD_CHARS)
"""Between a bracket and its address: white space, in a quotation a line's sign too. More of it than is held makes an item."""

_PLAIN_ALT = Some(r"^\[\]\\`\n", 0, 200)

_INTRICATE = Mark(shape=(Word("!["), _PLAIN_ALT, Word("]")), pattern=re.compile(rf"!\[(?!{_PLAIN_ALT.whole}\])"))
"""An image whose text is long or has brackets of its own: it may end at any `](` of its paragraph."""

_IMAGES: tuple[Rule, ...] = (
    *(
        Rule(
            name="link.image",
            label="image",
            shape=(*opening, _BEFORE, *beginning, Some(r"^)\n", 1, _MOST_ADDRESS)),
            check=_perhaps_to_elsewhere,
            until=_BRACKET_OR_LINE_END,
            behind=behind,
            lead=lead,
        )
        for opening, behind, lead in (
            ((Word("!["), _PLAIN_ALT, Word("](")), None, ""),
            ((Word("]("),), _INTRICATE, "] "),
        )
        for beginning in _BEGINNINGS
    ),
    # Where an image by reference has its address, before or after it. A link by reference looks the same.
    *(
        Rule(
            name="link.reference",
            label="address",
            shape=(Word("]:"), _BEFORE, *beginning, Some(r"^\s>", 1, _MOST_ADDRESS)),
            check=_perhaps_to_elsewhere,
            rest=_TO_THE_SPACE,
            lead="]: ",
        )
        for beginning in _BEGINNINGS
    ),
    Rule(
        name="link.image",
        label="image",
        shape=(
            Word("<"),
            Some("iI", 1, 1),
            Some("mM", 1, 1),
            Some("gG", 1, 1),
            Some(r"\s/", 1, 8),
            Some("^>", 1, 3_000),
        ),
        check=_to_elsewhere,
        until=_ANGLE,
    ),
)

_LINKS: tuple[Rule, ...] = (
    Rule(
        name="link.url",
        label="link",
        shape=(
            Some("hH", 1, 1),
            Some("tT", 2, 2),
            Some("pP", 1, 1),
            Some("sS", 0, 1),
            Word("://"),
            Some(r"^\s\"'`<>()\]", 1, 2_000),
        ),
        rest=_TO_THE_SPACE,
    ),
)


def known(allowed: Collection[str]) -> Spares:
    """Spare what only names allowed hosts, `*.example.com` for all below it, and those that the user named."""
    exact = frozenset(host.lower() for host in allowed if not host.startswith("*."))
    below = tuple(host[1:].lower() for host in allowed if host.startswith("*."))

    def spares(item: str, said: str) -> bool:
        hosts = hosts_of(item)
        return bool(hosts) and all(host in exact or host.endswith(below) or _named(host, said) for host in hosts)

    return spares


def _named(host: str, said: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-]|\.\w)", said, re.IGNORECASE) is not None


def images(allowed: Collection[str]) -> tuple[Rule, ...]:
    return tuple(replace(rule, spares=known(allowed)) for rule in _IMAGES)


def links(allowed: Collection[str]) -> tuple[Rule, ...]:
    return tuple(replace(rule, spares=known(allowed)) for rule in _LINKS)
