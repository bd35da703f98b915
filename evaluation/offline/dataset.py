"""A data set: JSON lines, one question each, with what is known of a good answer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from evaluation.json_lines import Row, made_of
from evaluation.offline.checks import CHECKS
from services.types import Message, Role

_KEYS = {"id", "question", "messages", "reference", "expect", "tags", "source", "answered"}
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to ask. `messages` end with the user's question.

    `reference` is an answer that is right, empty where none is known. `expect` is what code can see in an answer, by the
    names of `evaluation.offline.checks`. `tags` are what the report is also broken down by.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str = ""
    expect: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """`digest` is of the file's bytes: answers to two data sets are not compared."""

    name: str
    digest: str
    cases: tuple[Case, ...]


def read_dataset(path: Path) -> Dataset:
    """Read a file, of which `source` and `answered` are for people.

    Raises ValueError, with file and line, for a case that cannot be understood, and OSError.
    """
    known: set[str] = set()

    def once(row: Row) -> Case:
        case = _case(row)
        if case.id in known:
            raise ValueError(f"there is another case {case.id!r}")
        known.add(case.id)
        return case

    content = path.read_bytes()
    cases = tuple(made_of(content, once, path=path))
    if not cases:
        raise ValueError(f"{path}: there is no case in it")
    return Dataset(name=path.stem, digest=hashlib.sha256(content).hexdigest(), cases=cases)


def _case(row: Row) -> Case:
    if unknown := sorted(row.keys() - _KEYS):
        raise ValueError(f"{unknown[0]!r} is not one of: {', '.join(sorted(_KEYS))}")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("tags is a list of texts")
    expect = row.get("expect", {})
    if not isinstance(expect, dict):
        raise ValueError("expect is an object")  # noqa: TRY004
    for name, wanted in expect.items():
        if name not in CHECKS:
            raise ValueError(f"expect: {name!r} is not one of: {', '.join(CHECKS)}")
        CHECKS[name].accept(wanted)
    return Case(
        id=_text(row, "id"),
        messages=_messages(row),
        reference=_text(row, "reference") if "reference" in row else "",
        expect=expect,
        tags=tuple(tags),
    )


def _messages(row: Row) -> tuple[Message, ...]:
    if ("question" in row) == ("messages" in row):
        raise ValueError("a case has either a question or messages")
    if "question" in row:
        return (Message(role="user", content=_text(row, "question")),)
    given = row["messages"]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValueError("messages is a list of objects with role and content")
    messages = tuple(Message(role=cast(Role, one.get("role")), content=_text(one, "content")) for one in given)
    if not messages or messages[-1].role != "user" or any(one.role not in _ROLES for one in messages):
        raise ValueError(f"messages have the roles {', '.join(_ROLES)}, and the last is the user's")
    return messages


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is a text that is not empty")
    return value
