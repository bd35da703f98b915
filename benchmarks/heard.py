"""One reply as bytes and times, and what became of it."""

from dataclasses import dataclass, field

from benchmarks.sse import StampReader


@dataclass(slots=True, kw_only=True)
class Heard:
    """One reply as it came in: filled by the client, read afterwards. Times are microseconds of the monotonic clock."""

    sent_us: int
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    """When each piece of the body was read, and what it was."""
    broken: str | None = None
    """What ended it, unless it was the end of the body."""


def error_of(heard: Heard, reader: StampReader, expected_tokens: int) -> str | None:
    """The kind of error of one reply. A body that only FIN ends is no error once `[DONE]` has come."""
    if reader.error is not None:
        return reader.error
    if heard.broken is not None and not (heard.broken == "cut" and reader.done):
        return heard.broken
    if not reader.done:
        return "no_done"
    return None if reader.tokens == expected_tokens else "wrong_token_count"
