"""The text of pages, hostile ones too."""

import time

import pytest

from graphs.tools.page_text import is_text, text_of_html, text_of_page
from services.security.pages import Page


def page(body: bytes, media_type: str = "text/html", charset: str | None = None) -> Page:
    return Page(url="https://example.com/", media_type=media_type, charset=charset, body=body, whole=True)


def test_a_page_becomes_its_text() -> None:
    """Title, blocks on lines of their own, items, cells; no scripts, styles, comments or tags."""
    source = """<!doctype html><HTML><head><title>The  page</title><style>p {color: red}</style>
    <script>if (a < b) { alert("<p>no") }</script></head><body><!-- not <b>this</b> --><h1>Head</h1>
    <p class="a > b" title='c > d'>One <b>bold</b>&nbsp;word &amp; more&#33;<br>next</p>
    <ul><li>first</li><li> </li><li>second</ul>
    <table><tr><td>1</td><td>2</td></tr></table><svg><text>drawn</text></svg>end</body></html>"""
    assert text_of_html(source).splitlines() == [
        "The page",
        "Head",
        "One bold word & more!",
        "next",
        "- first",
        "- second",
        "1 2",
        "end",
    ]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a < b and c > d", "a < b and c > d"),
        ("1 <2", "1 <2"),
        ("<p>a<script>never closed", "a"),
        ("<p>a<!-- never closed", "a"),
        ("<p>a<b", "a"),
        ('<p title="never closed>a<b>c', '"never closed>ac'),
        ("<SCRIPT>x</script  >a", "a"),
        ("<scripted>a", "a"),
        ("&lt;b&gt; &unknown; &#x41;", "<b> &unknown; A"),
        ("&#" + "9" * 10_000 + ";", "\ufffd;"),
        ("", ""),
    ],
)
def test_broken_pages_are_read_as_far_as_they_go(source: str, text: str) -> None:
    """Nothing of them is an error."""
    assert text_of_html(source) == text


PIECES = ["<", "<!--", "<a ", "<a b='", '<a b="<', "<![CDATA[", "</", "<!", "<?", "<a/", "&", "&#", "&#x", "<script>"]
PIECES += [
    "<script></script>",
    "<title>",
    "<title></title>",
    "<div>",
    "<svg",
    "<td>",
    "<li>",
    "</script",
    "<a '\" ",
    "\n- ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_in_the_page(piece: str) -> None:
    """Of 1 MB of anything: parsers of the tree take minutes for some of these."""
    source = piece * (1_048_576 // len(piece))
    started = time.perf_counter()
    text_of_html(source)
    assert time.perf_counter() - started < 5.0


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("Grüße".encode(), None, "Grüße"),
        ("Grüße".encode("latin-1"), "ISO-8859-1", "Grüße"),
        (b'<meta charset="windows-1252">' + "Grüße".encode("cp1252"), None, "Grüße"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b"Gr\xfc\xdfe", "utf-8", "Gr��e"),
        (b"a", "rot13", "a"),
        (b"a", "idna", "a"),
        (b"a", "no such thing", "a"),
        (b"a", "x\x00y", "a"),
    ],
)
def test_a_page_says_how_it_is_encoded(body: bytes, charset: str | None, text: str) -> None:
    """By its server or by itself; what it may not name is UTF-8."""
    assert text_of_page(page(body, charset=charset)) == text


@pytest.mark.parametrize(
    ("media_type", "readable"),
    [
        ("text/html", True),
        ("text/csv", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/xml", True),
        ("application/octet-stream", False),
        ("image/svg+xml", False),
        ("application/pdf", False),
    ],
)
def test_what_is_text(media_type: str, readable: bool) -> None:
    """Images and archives are not."""
    assert is_text(page(b"", media_type)) is readable


def test_what_is_not_html_is_read_as_it_is() -> None:
    """JSON is for a model what it is."""
    assert text_of_page(page(b'{"a": "<b>"}', "application/json")) == '{"a": "<b>"}'
