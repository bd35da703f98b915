"""What a text says under its encodings and disguises: a bounded number of views, each a text by itself."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from services.guardrails.disguises import backwards, digits, in_tags, out_of_sight, right_to_left, rotated, spaced
from services.guardrails.encodings import (
    from_base32,
    from_base64,
    from_entities,
    from_escapes,
    from_hex,
    from_morse,
    from_numbers,
    from_percent,
)

MAX_DEPTH = 2
MAX_VIEWS = 12
MAX_READ_CHARS, LEAST_VIEW_CHARS = 14_336, 4_096
"""Of a text and all its views together; a text that takes up nearly all of that has still so much of views."""

Decoder = Callable[[str], Iterator[str]]

DECODERS: Mapping[str, Decoder] = {
    "tags": in_tags,
    "bidi": right_to_left,
    "base64": from_base64,
    "base32": from_base32,
    "hex": from_hex,
    "numbers": from_numbers,
    "percent": from_percent,
    "escapes": from_escapes,
    "morse": from_morse,
    "unseen": out_of_sight,
    "entities": from_entities,
    "rot13": rotated,
    "backwards": backwards,
    "spaced": spaced,
    "digits": digits,
}
"""In order of what a reader would miss most: where there are more views than MAX_VIEWS, the last ones are not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One reading of a text, and the decoders that it took: none for the text as it came."""

    text: str
    path: tuple[str, ...] = ()


def views(text: str, names: tuple[str, ...] = tuple(DECODERS)) -> tuple[View, ...]:
    """Return the text and what the named decoders make of it, breadth first.

    What one decoder yields is read by all others once more, so a text within two encodings is found.
    """
    found = [View(text=text)]
    seen, room = {text}, max(LEAST_VIEW_CHARS, MAX_READ_CHARS - len(text))
    pending = deque(found)
    while pending:
        view = pending.popleft()
        for name in names:
            for piece in DECODERS[name](view.text):
                if len(found) > MAX_VIEWS or room <= 0:
                    return tuple(found)
                piece = piece[:room]
                if piece.strip() and piece not in seen:
                    seen.add(piece)
                    room -= len(piece)
                    found.append(View(text=piece, path=(*view.path, name)))
                    if len(found[-1].path) < MAX_DEPTH:
                        pending.append(found[-1])
    return tuple(found)
