"""The text of a page, as a model can read it.

A page is hostile input, and parsers that build its tree take time that grows with the square of it: Python's own took 455 s for
200 kB of `<a `, selectolax 1.0.2 more than 60 s for 1 MB of `<div>`. For the text no tree is needed, so tags are passed over
from left to right, each character at most twice.
"""

import codecs
import html
import re

from services.security.pages import Page

_TAG = re.compile(
    r"<(?:(?P<comment>!--)|(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]{0,40})"
    r"(?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*>?|[!?/][^<>]*>?)"
)
"""Nothing that follows the last repetition can fail, so it need not be possessive: those of groups are not to be trusted in
Python before 3.11.5 (python/cpython#106052).
"""
_UNSEEN = frozenset(
    {"script", "style", "template", "svg", "math", "noscript", "iframe", "object", "textarea", "select"}
)
_ENDS = {name: re.compile(rf"</{name}\b[^<>]*>?", re.IGNORECASE) for name in (*_UNSEEN, "title")}
_BREAKING = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "br",
            "dd",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figure",
            "footer",
            "form",
        ),
        *(
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
            "nav",
            "ol",
            "p",
            "pre",
            "section",
            "table",
            "tr",
            "ul",
        ),
    )
)
_CELLS = frozenset({"td", "th"})
_HUGE_REFERENCE = re.compile(r"&#[0-9]{8,}")
"""Of a character: there is none with so high a number, and Python refuses to read one of thousands of digits."""

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,8}=\s{0,8}[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_CHARSETS = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-9", "iso8859-15", "cp1250", "cp1251", "cp1252", "cp1254"}
    | {"koi8-r", "shift_jis", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "utf-16"}
)
"""As Python calls them. A page may name no other of Python's codecs: some are none of text."""

_READ = re.compile(r"text/[a-z0-9.+-]+|application/(?:[a-z0-9.-]+\+)?(?:json|xml)")
_HTML = frozenset({"text/html", "application/xhtml+xml"})
HEAD_BYTES = 2_048


def is_text(page: Page) -> bool:
    """Whether there is anything to read."""
    return _READ.fullmatch(page.media_type) is not None


def text_of_page(page: Page) -> str:
    """Return the text: of HTML its title and what stands in it, of anything else all of it. Takes time linear in the body."""
    text = _decoded(page)
    return text_of_html(text) if page.media_type in _HTML else text


def text_of_html(source: str) -> str:
    """Return the title and the text of a document, a line for each block. What is hidden by a style is not hidden here."""
    pieces: list[str] = []
    title, at = "", 0
    while (tag := _TAG.search(source, at)) is not None:
        pieces.append(source[at : tag.start()])
        name = (tag["name"] or "").lower()
        at = tag.end()
        if tag["comment"]:
            end = source.find("-->", at)
            at = len(source) if end < 0 else end + 3
        elif name in _ENDS and not tag["close"]:
            ending = _ENDS[name].search(source, at)
            if name == "title" and not title:
                title = source[at : ending.start() if ending else len(source)]
            at = ending.end() if ending else len(source)
        elif name in _BREAKING:
            pieces.append("\n- " if name == "li" and not tag["close"] else "\n")
        elif name in _CELLS:
            pieces.append(" ")
    pieces.append(source[at:])
    text = html.unescape(_HUGE_REFERENCE.sub("\ufffd", f"{title}\n{''.join(pieces)}"))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line and line != "-")


def _decoded(page: Page) -> str:
    declared = page.charset
    if declared is None and page.media_type in _HTML and (found := _CHARSET.search(page.body[:HEAD_BYTES])):
        declared = found[1].decode("ascii")
    return page.body.decode(_codec(declared), "replace")


def _codec(declared: str | None) -> str:
    try:
        name = codecs.lookup(declared or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name in _CHARSETS else "utf-8"
