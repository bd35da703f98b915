"""What a tool returned, as text that a model can read and a thread can keep.

The work is bounded by the limit, not by what was returned: everything is cut before it is copied, and what is not text is
described, not shown.
"""

import json
from collections.abc import Iterable, Mapping, Sized
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol
from uuid import UUID

from langchain_core.messages import ToolMessage
from pydantic import BaseModel

MAX_DEPTH = 16
MAX_INTEGER_BITS = 14_000
"""Python refuses to write an integer of more than 4,300 digits."""

_WRITTEN_AS_TEXT = (date, time, timedelta, Decimal, UUID, PurePath)
_BINARY = (bytes, bytearray, memoryview)
_BLOCKS = frozenset({"text", "image", "image_url", "audio", "video", "file", "document"})


class _Collection(Sized, Iterable[Any], Protocol): ...


def readable(value: object, max_chars: int) -> str:
    """Return at most `max_chars` of a value, and a line that says so where there is more.

    Text is itself, content blocks are their text, plain data is JSON; of anything else only its kind is told.
    """
    content = value.content if isinstance(value, ToolMessage) else value
    if isinstance(content, str):
        return _cut(content, max_chars, f"{len(content) - max_chars} more characters")
    sketch = _Sketch(max_chars)
    if isinstance(content, list) and (content is not value or _is_blocks(content)):
        text = sketch.blocks(content)
    else:
        plain = sketch.of(content)
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return _cut(text, max_chars, "there is more")


def storable(text: str) -> str:
    """Return the text without what no store takes: Postgres has no NUL in text, UTF-8 no half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _cut(text: str, max_chars: int, rest: str) -> str:
    return storable(text) if len(text) <= max_chars else f"{storable(text[:max_chars])}\n[cut off: {rest}]"


def _is_blocks(items: list[Any]) -> bool:
    return bool(items) and _kind(items[0]) in _BLOCKS


def _kind(block: object) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind[:40] if isinstance(kind, str) else "data"


class _Sketch:
    """A copy of a value that `json` can write. Its room is characters; once that is used up, the rest is only counted."""

    def __init__(self, room: int) -> None:
        self._room = room

    def blocks(self, blocks: list[Any]) -> str:
        """The texts of content blocks, one after the other."""
        shown: list[str] = []
        for block in blocks:
            if self._room <= 0:
                shown.append(f"\n[{len(blocks) - len(shown)} more blocks: not shown]")
                break
            text = block.get("text") if isinstance(block, dict) else block
            shown.append(self._text(text if isinstance(text, str) else f"[{_kind(block)}: not shown]"))
            self._room -= 1
        return "".join(shown)

    def of(self, value: object, depth: int = 0) -> Any:
        self._room -= 2  # even nothing takes a comma: a list of a million empty lists comes to an end
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, _BINARY):
            return f"[binary data, {memoryview(value).nbytes} bytes: not shown]"
        if isinstance(value, Enum):
            return self.of(value.value, depth)
        if isinstance(value, _WRITTEN_AS_TEXT):
            return self._text(str(value))
        if depth >= MAX_DEPTH:
            return "[nested too deeply: not shown]"
        if isinstance(value, list | tuple | set | frozenset):
            return self._items(value, depth + 1)
        entries = _entries(value)
        return f"[{type(value).__name__[:100]}: not shown]" if entries is None else self._object(entries, depth + 1)

    def _integer(self, value: int) -> int | str:
        bits = value.bit_length()
        self._room -= bits // 3
        return int(value) if bits <= MAX_INTEGER_BITS else f"[integer of {bits} bits: not shown]"

    def _text(self, value: str) -> str:
        room = max(self._room, 0)
        self._room -= len(value)
        return value if len(value) <= room else f"{value[:room]}… [{len(value) - room} more characters]"

    def _items(self, items: _Collection, depth: int) -> list[Any]:
        shown: list[Any] = []
        for item in items:
            if self._room <= 0:
                shown.append(f"[{len(items) - len(shown)} more: not shown]")
                break
            shown.append(self.of(item, depth))
        return shown

    def _object(self, entries: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        shown: dict[Any, Any] = {}
        for key, value in entries.items():
            if self._room <= 0:
                shown["…"] = f"[{len(entries) - len(shown)} more: not shown]"
                break
            name = self.of(key, MAX_DEPTH)
            shown[name] = self.of(value, depth)
        return shown


def _entries(value: object) -> Mapping[Any, Any] | None:
    """The entries of an object, None for one whose parts are not known. Fields that hide from `repr` stay hidden."""
    if isinstance(value, dict):
        return value
    if isinstance(value, BaseModel):
        declared = type(value).model_fields
        return {name: getattr(value, name) for name, field in declared.items() if field.repr and not field.exclude}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
    return None
