"""Server-sent events as model providers send them: bytes in, the payloads of `data` lines out.

Written for speed: a payload costs one find and one slice. What the format allows and no provider sends (several `data` lines
in one event, `id`, `retry`) is accepted as far as it can be and otherwise ignored; comments, which some servers send for
ever as a heartbeat, yield nothing, so that they never count as progress.
"""

from services.errors import ModelOutputTooLarge

MAX_LINE_BYTES = 1_048_576


class EventStreamDecoder:
    """Splits a byte stream into payloads. `error_event` is True once an `event: error` line was seen."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = b""
        self.error_event = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the payloads completed by `chunk`. Raises ModelOutputTooLarge for a line over the limit."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._max_line_bytes:
            raise ModelOutputTooLarge(f"The provider sent a line of more than {self._max_line_bytes} bytes.")
        payloads = []
        for line in lines:
            if line.startswith(b"data:"):
                payloads.append(line[5:].strip())
            elif line.startswith(b"event:") and line[6:].strip() == b"error":
                self.error_event = True
        return payloads
