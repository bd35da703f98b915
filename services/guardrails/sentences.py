"""A text's sentences, so that one of them can be looked at as if it were all there is."""

import re
from collections.abc import Iterator

MIN_CHARS = 24
"""A shorter sentence is taken together with the next: `Important!!!` belongs to what follows it."""

MAX_CHARS = 240

_SENTENCE = re.compile(
    rf"\S(?:.{{{MIN_CHARS - 1},{MAX_CHARS - 1}}}?(?:[.!?;]+(?= |$)|[。！？]|$)|.{{0,{MAX_CHARS - 1}}})"
)
"""Both ways are bounded, and the second always fits, so that time is linear in the text."""


def sentences(normal: str) -> Iterator[str]:
    """Yield the sentences of a text in its normal form, each once. What has no end for MAX_CHARS is cut there."""
    seen: set[str] = set()
    for match in _SENTENCE.finditer(normal):
        if match[0] not in seen:
            seen.add(match[0])
            yield match[0]
