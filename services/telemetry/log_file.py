"""A file of lines that are written together, by a thread: a line costs whoever has it no call to the system."""

import logging
import os
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path

LINES_AT_ONCE = 1_000
"""So many are not kept back any longer, whatever the time."""


class LineFile(logging.Handler):
    """Writes what it is given after `every_s`, and from `at_once` on at once, with what came before it.

    A process that is killed outright loses the lines of its last `every_s`. The file begins anew at `max_bytes`; `kept` is how
    many old ones stay. Nobody waits for the disk, and no line fails what it is about: one that cannot be written is lost, and
    stderr says so.
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
        self._taking = threading.Lock()  # of the lines, for a moment
        self._writing = threading.Lock()  # to the file, for as long as the disk takes
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._writer = threading.Thread(target=self._write_forever, name="log-lines", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            self.handleError(record)
            return
        with self._taking:
            self._lines.append(line)
        if record.levelno >= self._at_once or len(self._lines) >= LINES_AT_ONCE:
            self._hurry.set()
        if not self._news.is_set():
            self._news.set()

    def flush(self) -> None:
        """Write what there is, and return when it is written."""
        with self._writing:
            with self._taking:
                lines, self._lines = self._lines, []
            try:
                self._write(lines)
            except OSError as error:
                sys.stderr.write(f"{len(lines)} lines of the log are lost: {error}\n")

    def close(self) -> None:
        self._closing = True
        self._hurry.set()
        self._news.set()
        self._writer.join()
        self.flush()
        self._file.close()
        super().close()

    def _write_forever(self) -> None:
        while not self._closing:
            self._news.wait()
            self._hurry.wait(self._every_s)
            self._news.clear()
            self._hurry.clear()
            self.flush()

    def _write(self, lines: list[str]) -> None:
        if not lines or self._file.stream is None:  # which it is once it is closed
            return
        text = ("\n".join(lines) + "\n").encode()
        if self._max_bytes and os.fstat(self._file.stream.fileno()).st_size + len(text) > self._max_bytes:
            self._file.doRollover()
        # Past the stream's buffer, which would keep what a full disk has refused, and which may take a part only.
        while text:
            text = text[os.write(self._file.stream.fileno(), text) :]
