"""Texts of anybody's as lines and spans may have them."""

MAX_ATTRIBUTE_CHARS = 256
"""Of an attribute of a span: whatever is longer was not meant to be one."""


def encodable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which are no UTF-8."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def attribute(text: str) -> str:
    return encodable(text[:MAX_ATTRIBUTE_CHARS])
