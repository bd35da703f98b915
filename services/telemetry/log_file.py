"""A file of lines that are written together, by a thread: a line costs whoever has it no call to the system."""

import logging
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path

LINES_AT_ONCE = 1_000
"""So many are not kept back any longer, whatever the time."""


class LineFile(logging.Handler):
    """Writes what it is given after `every_s`, and from `at_once` on at once, with what came before it.

    A process that is killed outright loses the lines of its last `every_s`. The file begins anew at `max_bytes`; `kept` is how
    many old ones stay.
    """

    def __init__(
        self, path: Path, *, max_bytes: int, kept: int, every_s: float = 0.5, at_once: int = logging.WARNING
    ) -> None:
        super().__init__()
        self._file = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8")
        self._max_bytes = max_bytes
        self._every_s = every_s
        self._at_once = at_once
        self._lines: list[str] = []
        self._news = threading.Event()
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write_forever, name="log-lines", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        self._lines.append(self.format(record))
        if record.levelno >= self._at_once or len(self._lines) >= LINES_AT_ONCE:
            self._write()
        elif not self._news.is_set():
            self._news.set()

    def flush(self) -> None:
        with self.lock or threading.RLock():
            self._write()

    def close(self) -> None:
        self._closing.set()
        self._news.set()
        self._writer.join()
        self.flush()
        self._file.close()
        super().close()

    def _write_forever(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._closing.wait(self._every_s)
            self._news.clear()
            self.flush()

    def _write(self) -> None:
        if not self._lines or self._file.stream is None:  # which it is once it is closed
            return
        text, self._lines = "\n".join(self._lines) + "\n", []
        if self._max_bytes and self._file.stream.tell() + len(text) > self._max_bytes:
            self._file.doRollover()
        self._file.stream.write(text)
        self._file.stream.flush()
