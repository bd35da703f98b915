"""The ledger of tool effects in Postgres."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.errors import RunSuperseded
from services.runs.effects import Begun, EffectCall, EffectOutcome, Entry, Ruling, key_of
from services.storage.database import Database
from services.storage.encoding import plain, storable, to_json
from services.types import Fence, Run

# The lock makes a take-over wait until the row is written, and the row refused once it has been: whoever takes a run over
# sees every effect that was begun before.
_IF_HELD = """
WITH held AS MATERIALIZED (
    SELECT id, tenant_id FROM runs WHERE id = $1 AND attempt = $2 AND finished_at IS NULL FOR SHARE
), {work}
"""
_BEGIN = _IF_HELD.format(
    work="""begun AS (
    INSERT INTO tool_effects (run_id, call_id, tenant_id, tool, attempt)
    SELECT id, $3, tenant_id, $4, $2 FROM held
    ON CONFLICT (run_id, call_id) DO UPDATE SET attempt = excluded.attempt, begun_at = now()
        WHERE $5 AND tool_effects.done_at IS NULL
    RETURNING run_id
)
SELECT EXISTS (SELECT FROM held) AS held, EXISTS (SELECT FROM begun) AS begun, e.outcome
FROM (SELECT) AS one LEFT JOIN tool_effects e ON e.run_id = $1 AND e.call_id = $3
"""
)
_DONE = _IF_HELD.format(
    work="""done AS (
    UPDATE tool_effects e SET outcome = $4, done_at = now() FROM held
    WHERE e.run_id = held.id AND e.call_id = $3 AND e.done_at IS NULL
)
SELECT EXISTS (SELECT FROM held)
"""
)
_RULE = _IF_HELD.format(
    work="""ruled AS (
    INSERT INTO tool_effects (run_id, call_id, tenant_id, tool, attempt, outcome, done_at)
    SELECT id, call_id, tenant_id, tool, $2, outcome::jsonb, CASE WHEN outcome IS NOT NULL THEN now() END
    FROM held, unnest($3::text[], $4::text[], $5::text[]) AS r (call_id, tool, outcome)
    ON CONFLICT (run_id, call_id) DO UPDATE SET
        attempt = excluded.attempt, outcome = excluded.outcome, done_at = excluded.done_at, begun_at = now()
        WHERE tool_effects.done_at IS NULL
)
SELECT EXISTS (SELECT FROM held)
"""
)
_RECALL = """
SELECT e.run_id, e.call_id, e.outcome
FROM runs r JOIN tool_effects e ON e.run_id = r.id
WHERE r.tenant_id = $1 AND r.thread_id = $2 AND e.call_id = ANY($3)
ORDER BY e.begun_at, r.created_at
"""


class EffectRepository:
    """`services.runs.effects.Effects` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        async with self._database.raw() as connection:
            [row] = await connection.fetch(
                _BEGIN, fence.run_id, fence.attempt, storable(call.id), storable(call.tool), again
            )
        refuse_superseded(fence, held=row["held"])
        key = key_of(fence.run_id, storable(call.id))
        if row["begun"]:
            return Begun(key=key)
        return Entry(key=key, runs=frozenset({fence.run_id}), outcome=outcome_from(row["outcome"]))

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        async with self._database.raw() as connection:
            held = await connection.fetchval(
                _DONE, fence.run_id, fence.attempt, storable(call_id), outcome_to_json(outcome)
            )
        refuse_superseded(fence, held=held)

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        by_stored_id = {storable(call_id): call_id for call_id in call_ids}
        async with self._database.raw() as connection:
            rows = await connection.fetch(_RECALL, run.tenant_id, run.thread_id, list(by_stored_id))
        entries: dict[str, Entry] = {}
        for row in rows:
            call_id = by_stored_id[row["call_id"]]
            entries[call_id] = with_row(
                entries.get(call_id), plain(row["run_id"]), row["call_id"], outcome_from(row["outcome"])
            )
        return entries

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        async with self._database.raw() as connection:
            held = await connection.fetchval(
                _RULE,
                fence.run_id,
                fence.attempt,
                [storable(ruling.call.id) for ruling in rulings],
                [storable(ruling.call.tool) for ruling in rulings],
                [None if ruling.outcome is None else outcome_to_json(ruling.outcome) for ruling in rulings],
            )
        refuse_superseded(fence, held=held)


def with_row(entry: Entry | None, run_id: UUID, call_id: str, outcome: EffectOutcome | None) -> Entry:
    """Return the entry of a call with one more of its rows, which come in the order in which they were begun."""
    if entry is None:
        return Entry(key=key_of(run_id, call_id), runs=frozenset({run_id}), outcome=outcome)
    return Entry(key=entry.key, runs=entry.runs | {run_id}, outcome=outcome or entry.outcome)


def storable_outcome(outcome: EffectOutcome) -> EffectOutcome:
    return EffectOutcome(outcome=storable(outcome.outcome), text=storable(outcome.text), own=outcome.own)


def outcome_to_json(outcome: EffectOutcome) -> str:
    kept = storable_outcome(outcome)
    return to_json({"outcome": kept.outcome, "text": kept.text, "own": kept.own})


def outcome_from(row: Mapping[str, Any] | None) -> EffectOutcome | None:
    return None if row is None else EffectOutcome(outcome=row["outcome"], text=row["text"], own=row["own"])


def refuse_superseded(fence: Fence, *, held: bool) -> None:
    """Raise RunSuperseded unless the fence still holds."""
    if not held:
        raise RunSuperseded(f"Attempt {fence.attempt} of run {fence.run_id} has ended or was taken over.")
