"""A compacted log is read back as what it was, in less room."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from services.errors import Failure
from services.events import (
    ReasoningDelta,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRestarted,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.runs.compaction import compact
from services.runs.event_codec import decode, encode
from services.runs.log_writer import LogRow
from services.types import EventId, Fence, Usage

RUN = UUID(int=7)
STARTED = RunStarted(run_id=RUN, thread_id=UUID(int=8), graph="react")
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(output_tokens=3), duration_s=0.5)
SEARCH = ToolStarted(call_id="m1:0", name="search", arguments='{"query": "a"}')
FOUND = ToolFinished(call_id="m1:0", name="search", ok=True, result="nothing", duration_s=0.1)


def a_log(*attempts: Sequence[RunEvent], per_row: int = 3) -> list[LogRow]:
    """The rows of a log whose attempts said these events, so many in each row."""
    rows: list[LogRow] = []
    for attempt, events in enumerate(attempts, 1):
        fence = Fence(run_id=RUN, attempt=attempt)
        for at in range(0, len(events), per_row):
            part = events[at : at + per_row]
            rows.append(LogRow(fence=fence, first_seq=at, seq=at + len(part) - 1, body=encode(part)))
    return rows


def told(rows: Sequence[LogRow]) -> list[tuple[EventId, RunEvent]]:
    """What a reader of these rows is given, each event with its id."""
    return [
        (EventId(attempt=row.fence.attempt, seq=seq), event)
        for row in rows
        for seq, event in enumerate(decode(row.body), row.first_seq)
    ]


@pytest.mark.parametrize("per_row", [1, 2, 5, 50])
def test_every_event_keeps_its_place(per_row: int) -> None:
    """Deltas of several kinds and sources, between other events, are the same events under the same ids."""
    events: list[RunEvent] = [
        STARTED,
        *(ReasoningDelta(text=text) for text in ("Let me ", "", "see")),
        *(TextDelta(text=text) for text in ("Zwölf ", "\U0001f600", "e\u0301", '"quoted" \\ \n')),
        TextDelta(text="aside", source="planner"),
        TextDelta(text="of the plan", source="planner"),
        SEARCH,
        FOUND,
        TextDelta(text="one"),
        TextDelta(text="two"),
        COMPLETED,
    ]
    rows = a_log(events, per_row=per_row)
    [row] = compact(rows)
    assert told([row]) == told(rows)
    assert (row.first_seq, row.seq) == (0, len(events) - 1)
    assert compact([row]) == [row]


def test_a_long_answer_takes_a_fraction() -> None:
    """Of three hundred deltas of a word each a sixth is left."""
    rows = a_log([STARTED, *(TextDelta(text=f"word{n % 10} ") for n in range(300)), COMPLETED], per_row=20)
    [row] = compact(rows)
    assert len(row.body) * 5 < sum(len(row.body) for row in rows)


def test_what_a_restart_made_void_goes() -> None:
    """A reader sees what was kept, the restart and what came anew, each under the id that it had."""
    keep = EventId(attempt=1, seq=2)
    first: list[RunEvent] = [STARTED, TextDelta(text="kept "), TextDelta(text="too"), TextDelta(text=" void"), SEARCH]
    second: list[RunEvent] = [RunRestarted(attempt=2, keep=keep), TextDelta(text=" anew"), COMPLETED]
    rows = a_log(first, second)
    smaller = compact(rows)
    assert told(smaller) == [entry for entry in told(rows) if not keep < entry[0] < EventId(attempt=2, seq=0)]
    assert [(row.fence.attempt, row.first_seq, row.seq) for row in smaller] == [(1, 0, 2), (2, 0, 2)]


def test_a_restart_that_kept_nothing_leaves_the_beginning() -> None:
    """A log begins with its RunStarted, whatever was void of the attempts behind it; a void restart goes as well."""
    rows = a_log(
        [STARTED, TextDelta(text="void")],
        [RunRestarted(attempt=2, keep=EventId(attempt=1, seq=1)), TextDelta(text="void too")],
        [RunRestarted(attempt=3, keep=None), STARTED, TextDelta(text="anew"), COMPLETED],
    )
    assert [event for _, event in told(compact(rows))] == [
        STARTED,
        RunRestarted(attempt=3, keep=None),
        STARTED,
        TextDelta(text="anew"),
        COMPLETED,
    ]


def test_a_restart_may_keep_part_of_a_restarted_attempt() -> None:
    """What the attempt before last kept of its predecessor stays as well."""
    rows = a_log(
        [STARTED, TextDelta(text="a"), TextDelta(text="void")],
        [RunRestarted(attempt=2, keep=EventId(attempt=1, seq=1)), TextDelta(text="b"), TextDelta(text="void")],
        [RunRestarted(attempt=3, keep=EventId(attempt=2, seq=1)), TextDelta(text="c"), COMPLETED],
    )
    said = [event.text for _, event in told(compact(rows)) if isinstance(event, TextDelta)]
    assert said == ["a", "b", "c"]


def test_ids_that_are_missing_stay_missing() -> None:
    """Rows that were never stored leave a gap, across which nothing is put together."""
    rows = a_log([STARTED, *(TextDelta(text=str(n)) for n in range(7)), COMPLETED], per_row=2)
    del rows[1]
    smaller = compact(rows)
    assert told(smaller) == told(rows)
    assert [(row.first_seq, row.seq) for row in smaller] == [(0, 1), (4, 8)]


def test_a_failure_is_read_back_whole() -> None:
    """Events with values within them pass through untouched."""
    failure = Failure(code="agent_lost", message="gone", status=503, retryable=True)
    failed = RunFailed(failure=failure, partial=True, usage=Usage(), duration_s=1.5)
    rows = a_log([STARTED, TextDelta(text="a"), TextDelta(text="b"), failed], per_row=1)
    assert told(compact(rows)) == told(rows)
