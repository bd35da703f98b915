"""What is looked at of a text that is too long to be looked at whole."""

import re

MAX_CHARS = 16_384
HEAD_CHARS = 6_144
TAIL_CHARS = 4_096
AROUND_CHARS = 160

_CUE = re.compile(
    r"\b(?:ignor|disregard|forget|overrid|bypass|instruction|prompt|jailbreak|system|you must|you are now|do not tell|password)"
    r"|<!--|<\||\[inst|display ?: ?none|[\u200b-\u200f\u202a-\u202e\u2060-\u2064\U000e0020-\U000e007e]|&#\d|%[0-9a-f]{2}%"
    r"|[A-Za-z0-9+/=_-]{24}",
    re.IGNORECASE,
)
"""Where an injection may be in the midst of a long text: the words of orders, what is not seen, what is encoded."""


def excerpt(text: str) -> str:
    """Return the text, or of a long one its head, its tail, and what lies around cues in between, in their order.

    At most MAX_CHARS: where there are more cues than that has room for, it is the last ones that are left out.
    """
    if len(text) <= MAX_CHARS:
        return text
    end, stop = HEAD_CHARS, len(text) - TAIL_CHARS
    room = MAX_CHARS - HEAD_CHARS - TAIL_CHARS
    pieces = [text[:end]]
    for match in _CUE.finditer(text, end, stop):
        if match.start() < end:
            continue
        start, after = max(end, match.start() - AROUND_CHARS), min(match.end() + AROUND_CHARS, stop)
        if after - start + 1 > room:
            break
        pieces.append(text[start:after])
        room -= after - start + 1
        end = after
    return "\n".join((*pieces, text[stop:]))[:MAX_CHARS]
