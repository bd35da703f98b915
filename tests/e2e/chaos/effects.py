"""Tools whose effects can be counted: each call adds a line to a file, and lines are never taken away.

`tests/e2e/inside/sitecustomize.py` registers them in the cluster under test. They wait before the effect and after it, so that
a replica can be killed in either wait: a call was begun and had none, or had one of which nobody was told.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from langchain_core.tools import StructuredTool

from graphs.tools.effects import idempotency_key
from graphs.tools.spec import ToolSpec

EFFECTS_FILE = "CHAOS_EFFECTS"
"""The variable that names the file."""

WAIT_S = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One effect: what the model wanted noted, and the key of the call."""

    note: str
    key: str


async def note_once(note: str) -> str:
    """Note something. Noting it twice would be wrong."""
    return await _noted(note)


async def note_idempotent(note: str) -> str:
    """Note something. Noting it twice under one key is noting it once."""
    return await _noted(note)


async def _noted(note: str) -> str:
    await asyncio.sleep(WAIT_S)
    append(Path(os.environ[EFFECTS_FILE]), Noted(note=note, key=idempotency_key()))
    await asyncio.sleep(WAIT_S)
    return f"{note} is noted"


def append(path: Path, noted: Noted) -> None:
    """Add a line in one write: with O_APPEND lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, orjson.dumps({"note": noted.note, "key": noted.key}) + b"\n")
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Noted]:
    """Return every effect so far."""
    return [Noted(**orjson.loads(line)) for line in path.read_bytes().splitlines()]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that some run was to make. What is asked of an idempotent one is that its key is always the same."""

    note: str
    tool: Literal["note_once", "note_idempotent"]

    @property
    def call(self) -> Mapping[str, Any]:
        """The call as a directive of the upstream."""
        return {"name": self.tool, "arguments": {"note": self.note}}


def wrong(effects: list[Noted], expected: list[Expected]) -> list[str]:
    """Return what is wrong with the effects of calls that have all been made, in words."""
    keys: dict[str, Counter[str]] = {}
    for noted in effects:
        keys.setdefault(noted.note, Counter())[noted.key] += 1
    problems = []
    for call in expected:
        found = keys.get(call.note, Counter())
        if not found:
            problems.append(f"{call.note} was never noted")
        elif len(found) > 1:
            problems.append(f"{call.note} was noted under {len(found)} keys")
        elif call.tool == "note_once" and found.total() > 1:
            problems.append(f"{call.note} was noted {found.total()} times")
    return problems


TOOLS: Mapping[str, ToolSpec] = {
    "note_once": ToolSpec(
        factory=lambda _resources: StructuredTool.from_function(coroutine=note_once),
        effect="write",
        repeat="once",
        returns="trusted",
    ),
    "note_idempotent": ToolSpec(
        factory=lambda _resources: StructuredTool.from_function(coroutine=note_idempotent),
        effect="write",
        repeat="idempotent",
        returns="trusted",
    ),
}
