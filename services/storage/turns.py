"""Turns of production in Postgres, for a data set to be made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.storage.database import Database
from services.storage.encoding import plain
from services.types import Message

# What the model saw of the thread: the turns that came to their end before, and what the client sent with this one.
_TURNS = """
WITH chosen AS (
    SELECT id, thread_id, graph, created_at,
           EXISTS (SELECT FROM feedback WHERE run_id = runs.id AND rating = 'down') AS disliked
    FROM runs
    WHERE tenant_id = $1 AND status = 'completed' AND finished_at >= $2
      AND (EXISTS (SELECT FROM feedback WHERE run_id = runs.id AND rating = 'down')
           OR NOT $3 AND EXISTS (SELECT FROM scores WHERE run_id = runs.id))
    ORDER BY id DESC LIMIT $4
)
SELECT chosen.id, chosen.graph, chosen.disliked, (
    SELECT json_agg(json_build_object('role', role, 'content', content, 'answer', earlier.id = chosen.id AND NOT input)
                    ORDER BY earlier.created_at, earlier.id, position)
    FROM messages JOIN runs AS earlier ON earlier.id = messages.run_id
    WHERE earlier.thread_id = chosen.thread_id AND earlier.tenant_id = $1 AND earlier.status = 'completed'
      AND (earlier.created_at, earlier.id) <= (chosen.created_at, chosen.id)
      AND role IN ('system', 'user', 'assistant') AND content <> ''
) AS messages
FROM chosen ORDER BY chosen.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn that came to its end: what was said up to its question, and what was answered."""

    run_id: UUID
    graph: str
    disliked: bool
    messages: tuple[Message, ...]
    answer: str


class TurnRepository:
    """The turns of one tenant."""

    def __init__(self, database: Database, tenant_id: str) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def looked_at(self, since: datetime, *, disliked_only: bool, limit: int) -> Sequence[Turn]:
        """Return the newest turns that ended since then and were disliked or judged, the oldest of them first.

        Whoever gives an answer to a tool's question instead of saying something has no question, and is not among them.
        Raises StoreUnavailable.
        """
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TURNS, self._tenant_id, since, disliked_only, limit)
        turns = [_turn(row) for row in rows]
        return [turn for turn in turns if turn.messages and turn.messages[-1].role == "user"]


def _turn(row: Mapping[str, Any]) -> Turn:
    said = row["messages"] or []
    messages = tuple(Message(role=one["role"], content=one["content"]) for one in said if not one["answer"])
    answers = [one["content"] for one in said if one["answer"] and one["role"] == "assistant"]
    return Turn(
        run_id=plain(row["id"]),
        graph=row["graph"],
        disliked=row["disliked"],
        messages=messages,
        answer=answers[-1] if answers else "",
    )
