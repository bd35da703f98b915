"""HTML that is built as a tree, so that no text can be anything but text: what a model said is written by `ElementTree`."""

import re
from xml.etree.ElementTree import Element, tostring

Node = Element | str | None

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def node(tag: str, *children: Node, **attributes: str | float) -> Element:
    """Make an element. `class_` is class, `stroke_width` is stroke-width; None among the children is nothing."""
    element = Element(tag, {name.rstrip("_").replace("_", "-"): _shown(value) for name, value in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            text = _CONTROL.sub("\ufffd", child)
            if last is None:
                element.text = (element.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        elif child is not None:
            element.append(child)
            last = child
    return element


def document(title: str, style: str, *body: Node) -> str:
    """Return a page that needs nothing else, and that may load and run nothing."""
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        node("title", title),
        node("style", style),
    )
    page = node("html", head, node("body", node("main", *body)), lang="en")
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def table(heads: tuple[str, ...], rows: list[tuple[Node, ...]], **attributes: str | float) -> Element:
    """Make a table."""
    head = node("thead", node("tr", *(node("th", text) for text in heads)))
    body = node("tbody", *(node("tr", *(node("td", cell) for cell in row)) for row in rows))
    return node("div", node("table", head, body, **attributes), class_="scroll")


def _shown(value: str | float) -> str:
    return _CONTROL.sub("\ufffd", value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
