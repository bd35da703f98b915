"""JSON lines: sets that people wrote, and journals, whose writer may be stopped in the middle of any line.

A line ends at a line feed and nowhere else: U+2028 and its like are characters of a text.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
MadeT = TypeVar("MadeT")


def read_lines(path: Path, make: Callable[[Row], MadeT]) -> list[MadeT]:
    """Return what `make` makes of each line that is not blank.

    Raises ValueError, with file and line, for a line that is no JSON object or of which `make` raises ValueError, TypeError or
    KeyError; and OSError.
    """
    return made_of(path.read_bytes(), make, path=path)


def made_of(content: bytes, make: Callable[[Row], MadeT], *, path: Path) -> list[MadeT]:
    """Return what `read_lines` does, of a content that was read from `path`. Raises ValueError."""
    return _made(path, content.split(b"\n"), make)


def read_journal(path: Path, make: Callable[[Row], MadeT]) -> list[MadeT]:
    """Return what a journal holds, as `read_lines` does: but a last line that is torn is dropped with a word."""
    lines = path.read_bytes().split(b"\n")
    if lines[-1].strip() and not _is_row(lines[-1]):
        logger.warning("%s, line %d is torn, and does not count: its writer was stopped", path, len(lines))
        lines.pop()
    return _made(path, lines, make)


def append(path: Path, row: Row) -> None:
    """Add a line to a journal, in the place of a last one that is torn; it is on the disk then. Not for two writers at once.

    What cannot be written (half of a surrogate pair) becomes a question mark. Raises OSError.
    """
    line = json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n"
    with path.open("a+b") as file:
        unended = _unended(file)
        if unended and _is_row(unended):
            line = b"\n" + line
        elif unended:
            file.truncate(file.seek(0, os.SEEK_END) - len(unended))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _made(path: Path, lines: Sequence[bytes], make: Callable[[Row], MadeT]) -> list[MadeT]:
    made = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            made.append(make(_row(line)))
        except KeyError as error:
            raise ValueError(f"{path}, line {number}: {error.args[0]} is missing") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return made


def _row(line: bytes) -> Row:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("a line is an object")  # noqa: TRY004  # one kind of error for a file that is wrong
    return row


def _is_row(line: bytes) -> bool:
    try:
        _row(line)
    except ValueError:
        return False
    return True


def _unended(file: BinaryIO) -> bytes:
    """Return what stands behind the last line feed of a file."""
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    if file.read() == b"\n":
        return b""
    file.seek(0)
    return file.read().rpartition(b"\n")[2]
