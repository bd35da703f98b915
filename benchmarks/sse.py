"""Server-sent events reduced to what the load client needs: stamps, errors, the end. Reads all three servers'
formats."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks import stamps

_TEXT_EVENTS = frozenset({b"", b"message", b"text_delta"})
_ERROR_EVENTS = frozenset({b"error", b"run_failed", b"run_cancelled"})


@dataclass(slots=True, kw_only=True)
class StampReader:
    """Finds the stamps in one reply. Text is put together again before the search, so a server may cut it anywhere; a
    text that a terminal event repeats is not counted twice."""

    arrived: bytes | None = None
    """When the upstream had received the request (a stamp's letters)."""
    first_sent: bytes | None = None
    """When it wrote the first token."""
    tokens: int = 0
    error: str | None = None
    done: bool = False
    _event: bytes = b""
    _line: bytes = b""
    _text: bytes = b""
    _found: list[bytes] = field(default_factory=list)

    def feed(self, data: bytes) -> list[bytes]:
        """The letters of the tokens that this piece of the body completed."""
        self._found = []
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        for line in lines:
            self._read_line(line.rstrip(b"\r"))
        self.tokens += len(self._found)
        return self._found

    def _read_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            payload = line[5:].strip()
            if payload == b"[DONE]":
                self.done = True
            elif self._event in _ERROR_EVENTS:
                self.error = self.error or f"event:{self._event.decode()}"
            elif self._event in _TEXT_EVENTS:
                self._read_payload(payload)
        elif line.startswith(b"event:"):
            self._event = line[6:].strip()
        elif not line:
            self._event = b""

    def _read_payload(self, payload: bytes) -> None:
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError:
            self.error = self.error or "malformed"
            return
        if not isinstance(value, dict):
            return
        if value.get("error") is not None:
            self.error = self.error or "in_stream"
        text = _text_of(value)
        if text:
            self._read_text(self._text + text.encode())

    def _read_text(self, text: bytes) -> None:
        end = 0
        for match in stamps.STAMP.finditer(text):
            end = match.end()
            if match[1] == stamps.ARRIVED_MARK:
                self.arrived = match[2]
                continue
            if self.first_sent is None:
                self.first_sent = match[2]
            self._found.append(match[2])
        self._text = text[max(end, len(text) - stamps.WIDTH + 1) :]


def _text_of(value: dict[str, Any]) -> str:
    """`text`, as Mainstay and the usual server send it, or the content of OpenAI's delta."""
    text = value.get("text")
    if isinstance(text, str):
        return text
    choices = value.get("choices")
    if not choices:
        return ""
    content = choices[0].get("delta", {}).get("content")
    return content if isinstance(content, str) else ""
