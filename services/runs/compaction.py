"""What becomes of the log of a run that ended long ago: one row for each attempt, and the deltas without their wrapping.

A model's answer comes as some hundred small events, and most of what is stored of one is not its text. So adjacent deltas of
one kind and source become one item, with the lengths of the deltas beside it, and `event_codec` makes the very same events
of it: the ids stay, a replay stays the same byte for byte, and a client may still go on behind any event that it has.

Only what a restart has made void is dropped, all but the event with which the log begins. Whoever replays the log would be
told to forget it, and whoever stopped in the middle of it is told so by the restart, which stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.runs.event_codec import items
from services.runs.log_writer import LogRow
from services.types import EventId, Fence

_DELTAS = frozenset({"text_delta", "reasoning_delta"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logged:
    fence: Fence
    seq: int
    name: str
    fields: dict[str, Any]

    @property
    def id(self) -> EventId:
        return EventId(attempt=self.fence.attempt, seq=self.seq)


def compact(rows: Sequence[LogRow]) -> list[LogRow]:
    """Return the whole log of one run, which is given in order, in as little room as it takes.

    An attempt becomes one row, or as many as it has gaps in its ids and one more. What is compact already stays as it is.
    """
    events = _without_void([event for row in rows for event in _events(row)])
    return [_row(part) for part in _contiguous(events)]


def _events(row: LogRow) -> Iterator[_Logged]:
    for seq, (name, fields) in enumerate(items(row.body), row.first_seq):
        yield _Logged(fence=row.fence, seq=seq, name=name, fields=fields)


def _without_void(events: list[_Logged]) -> list[_Logged]:
    restarts = [event for event in events if event.name == "run_restarted"]
    for restart in restarts:
        keep = restart.fields["keep"]
        kept = EventId(**keep) if keep else events[0].id
        events = [event for event in events if not kept < event.id < restart.id]
    return events


def _contiguous(events: Sequence[_Logged]) -> Iterator[list[_Logged]]:
    """Yield the events in parts, in each of which one id follows upon the other."""
    part: list[_Logged] = []
    for event in events:
        if part and (event.fence != part[-1].fence or event.seq != part[-1].seq + 1):
            yield part
            part = []
        part.append(event)
    if part:
        yield part


def _row(events: Sequence[_Logged]) -> LogRow:
    body = orjson.dumps([_item(group) for group in _mergeable(events)])
    return LogRow(fence=events[0].fence, first_seq=events[0].seq, seq=events[-1].seq, body=body)


def _mergeable(events: Sequence[_Logged]) -> Iterator[list[_Logged]]:
    """Yield the events in groups that may be stored as one item: deltas that differ in their text only."""
    group: list[_Logged] = []
    for event in events:
        if group and not (event.name in _DELTAS and _wrapping(event) == _wrapping(group[-1])):
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _wrapping(event: _Logged) -> tuple[str, dict[str, Any]]:
    return event.name, {**event.fields, "text": None}


def _item(group: Sequence[_Logged]) -> list[Any]:
    first = group[0]
    if len(group) == 1:
        return [first.name, first.fields]
    texts = [event.fields["text"] for event in group]
    return [first.name, {**first.fields, "text": "".join(texts)}, [len(text) for text in texts]]
