"""JSON lines: where a line ends, what is said of one that is wrong, and what a writer leaves that was stopped."""

import logging
from pathlib import Path
from typing import Any

import pytest

from evaluation.json_lines import Row, append, read_journal, read_lines

LINE_ENDS_OF_UNICODE = "a\u2028b\u2029c\x85d\x0ce"


def as_it_is(row: Row) -> dict[str, Any]:
    return dict(row)


def test_a_text_may_hold_what_unicode_calls_a_line_end(tmp_path: Path) -> None:
    """Only a line feed ends a line; a text with others in it, and half a surrogate pair, is read as one."""
    path = tmp_path / "journal.jsonl"
    append(path, {"text": LINE_ENDS_OF_UNICODE})
    append(path, {"text": "half \ud83d"})
    assert read_journal(path, as_it_is) == [{"text": LINE_ENDS_OF_UNICODE}, {"text": "half ?"}]
    assert len(read_lines(path, as_it_is)) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": ', "set.jsonl, line 3: Expecting value"),
        ("[1]", "set.jsonl, line 3: a line is an object"),
        ('{"words": "x"}', "set.jsonl, line 3: text is missing"),
        ('{"text": 1}', "set.jsonl, line 3: "),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, said: str) -> None:
    """By its number in the file, blank lines included, whether it cannot be parsed or cannot be understood."""
    path = tmp_path / "set.jsonl"
    path.write_text(f'{{"text": "fine"}}\r\n\n{line}\n{{"text": "fine"}}')
    for read in (read_lines, read_journal):
        with pytest.raises(ValueError, match=said):
            read(path, lambda row: "" + row["text"])


def test_a_torn_last_line_is_dropped_with_a_word_and_gives_way_to_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Torn in the middle of a character too. Nothing is written where it is only read; in a set it is a fault."""
    path = tmp_path / "journal.jsonl"
    append(path, {"text": "kept"})
    torn = path.read_bytes() + '{"text": "é'.encode()[:-1]
    path.write_bytes(torn)
    with caplog.at_level(logging.WARNING):
        assert read_journal(path, as_it_is) == [{"text": "kept"}]
    assert "journal.jsonl, line 2 is torn" in caplog.text
    assert path.read_bytes() == torn
    with pytest.raises(ValueError, match="line 2"):
        read_lines(path, as_it_is)
    append(path, {"text": "next"})
    assert read_journal(path, as_it_is) == [{"text": "kept"}, {"text": "next"}]


def test_a_last_line_that_lacks_but_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"text": "whole"}')
    append(path, {"text": "next"})
    assert read_journal(path, as_it_is) == [{"text": "whole"}, {"text": "next"}]
