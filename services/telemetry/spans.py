"""Spans: what was done for a run in one process, by whom, for how long, and how it ended.

What is told here is what whoever works for a run knows of tracing: a span begins, and ends. What becomes of it is
`services.telemetry.tracing`'s to decide. No span ever holds what somebody said: no prompt, no answer, no argument, no result.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from services.errors import MainstayError

Value = str | int | float | bool | UUID | Sequence[str]
Attributes = Mapping[str, Value]
"""Whoever gives them away leaves them as they are."""

CANCELLED = "cancelled"


class Kind(StrEnum):
    """On which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """Something that takes time. Used with `with`, it ends with the block, and fails with what the block raises."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes, in the place of those of the same names."""
        ...

    def event(self, name: str, attributes: Attributes) -> None:
        """Take note that something happened now."""
        ...

    def end(self, error: str | None = None) -> None:
        """End it, as failed with an error's code. Its first end counts."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Trace(Protocol):
    """The spans of one run in one process."""

    @property
    def trace_id(self) -> str:
        """Its id, for logs; empty where nothing is traced."""
        ...

    @property
    def handed_on(self) -> str | None:
        """The `traceparent` that the run's row is to have, for whoever works for it elsewhere: at the root here."""
        ...

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        """Begin a span: the first is the root here, every other one is below it."""
        ...

    def event(self, name: str, attributes: Attributes) -> None:
        """Take note, on the root, that something happened now."""
        ...

    def of(self, run_id: UUID) -> None:
        """Say which run it is."""
        ...

    def keep(self) -> None:
        """Say that it is worth keeping whether it was sampled or not."""
        ...

    def traceparent(self, span: Span) -> str | None:
        """Return what a service that is called within a span is to be told; None while nothing is sampled."""
        ...


def error_code(error: BaseException) -> str:
    """Return what a span fails with: never what an exception says, which may quote anybody."""
    if isinstance(error, MainstayError):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError) else type(error).__name__


class _NoSpan:
    def set(self, attributes: Attributes) -> None: ...

    def event(self, name: str, attributes: Attributes) -> None: ...

    def end(self, error: str | None = None) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Untraced:
    trace_id = ""
    handed_on = None

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        return NO_SPAN

    def event(self, name: str, attributes: Attributes) -> None: ...

    def of(self, run_id: UUID) -> None: ...

    def keep(self) -> None: ...

    def traceparent(self, span: Span) -> str | None:
        return None


NO_SPAN: Span = _NoSpan()
UNTRACED: Trace = _Untraced()
"""For what is not traced. Both have no state."""
