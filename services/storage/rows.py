"""Rows of runs as the values that they stand for."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.storage.encoding import failure_from, message_from, options_from, plain, progress_from
from services.types import Claim, Interruption, OnDisconnect, Run, RunStatus, Usage

# A run taken from its owner may have stored its first checkpoint since the statement took its snapshot. Its row is as of now,
# and tells of that: with `progress` there is a checkpoint, seen or not.
CLAIMED = """
WITH {claimed}
SELECT claimed.*, extract(epoch FROM claimed.deadline_at - clock_timestamp())::float8 AS remaining_s, (
    SELECT json_agg(json_build_object('role', role, 'content', content, 'tool_calls', tool_calls,
                                      'tool_call_id', tool_call_id, 'name', name) ORDER BY position)
    FROM messages WHERE run_id = claimed.id AND input
) AS messages, (
    claimed.progress IS NULL AND NOT EXISTS (SELECT FROM checkpoints WHERE thread_id = claimed.thread_id::text)
) AS blank_thread
FROM claimed
"""
"""Returns the rows of runs that an agent replica takes, for `claim_from`; what takes them is to be filled in as `claimed`."""


def run_from(row: Mapping[Any, Any], inputs: Sequence[Mapping[Any, Any]]) -> Run:
    """Return the run of a row of `runs`, with the rows of its input messages. Its usage is not in them."""
    return Run(
        id=plain(row["id"]),
        thread_id=plain(row["thread_id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        graph=row["graph"],
        status=RunStatus(row["status"]),
        messages=tuple(message_from(message) for message in inputs),
        ephemeral=row["ephemeral"],
        options=options_from(row["options"]),
        on_disconnect=OnDisconnect(row["on_disconnect"]),
        metadata=row["metadata"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        finish_reason=row["finish_reason"],
        failure=failure_from(row["failure"]),
        attempt=row["attempt"],
        timeout_s=_timeout_s(row),
        background=row["background"],
        priority=row["priority"],
        cancel_reason=row["cancel_reason"],
        interrupts=interruptions_from(row["interrupts"]),
        decisions=None if row["decisions"] is None else tuple(row["decisions"]),
        flagged=row["flagged"],
        traceparent=row["traceparent"],
        request_id=row["request_id"],
    )


def _timeout_s(row: Mapping[Any, Any]) -> float:
    """Return how long the run may take: a background run's time begins when an agent takes it."""
    begun_at = row["started_at"] if row["background"] else None
    timeout: timedelta = row["deadline_at"] - (begun_at or row["created_at"])
    return timeout.total_seconds()


def usage_from(row: Mapping[Any, Any]) -> Usage:
    """Return the usage in a row of a statement that joins it, where there may be none."""
    return Usage(**{name: row[name] for name in Usage.__slots__ if row[name] is not None})


def interruptions_from(items: Sequence[Mapping[str, Any]] | None) -> tuple[Interruption, ...]:
    """Return the questions of an interrupted run."""
    return tuple(Interruption(**item) for item in items or ())


def claim_from(row: Mapping[Any, Any]) -> Claim:
    """Return what a row of a statement that ends with CLAIMED stands for."""
    return Claim(
        run=run_from(row, row["messages"] or ()),
        remaining_s=max(0.0, row["remaining_s"]),
        crashes=row["crashes"],
        progress=progress_from(row["progress"]),
        blank_thread=row["blank_thread"],
    )
