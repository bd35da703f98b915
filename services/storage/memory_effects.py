"""The ledger of tool effects in memory, for unit tests and for a laptop without a database. Per process, unbounded."""

from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import UUID

from services.runs.effects import Begun, EffectCall, EffectOutcome, Entry, Ruling, key_of
from services.storage.effects import refuse_superseded, storable_outcome, with_row
from services.storage.encoding import storable
from services.types import Fence, Run


class MemoryEffects:
    """`services.runs.effects.Effects` over runs that `find` returns as they are stored, None for one that is not."""

    def __init__(self, find: Callable[[UUID], Run | None]) -> None:
        self._find = find
        self._rows: dict[tuple[UUID, str], EffectOutcome | None] = {}  # in the order in which they were begun

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        self._refuse_superseded(fence)
        row = (fence.run_id, storable(call.id))
        known, outcome = row in self._rows, self._rows.get(row)
        if known and not (again and outcome is None):
            return with_row(None, *row, outcome)
        self._rows[row] = None
        return Begun(key=key_of(*row))

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        self._refuse_superseded(fence)
        row = (fence.run_id, storable(call_id))
        if row in self._rows and self._rows[row] is None:
            self._rows[row] = storable_outcome(outcome)

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        by_stored_id = {storable(call_id): call_id for call_id in call_ids}
        entries: dict[str, Entry] = {}
        for (run_id, stored_id), outcome in self._rows.items():
            call_id, maker = by_stored_id.get(stored_id), self._find(run_id)
            if call_id is None or maker is None or (maker.tenant_id, maker.thread_id) != (run.tenant_id, run.thread_id):
                continue
            entries[call_id] = with_row(entries.get(call_id), run_id, stored_id, outcome)
        return entries

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        self._refuse_superseded(fence)
        for ruling in rulings:
            row = (fence.run_id, storable(ruling.call.id))
            if self._rows.get(row) is None:
                self._rows[row] = None if ruling.outcome is None else storable_outcome(ruling.outcome)

    def _refuse_superseded(self, fence: Fence) -> None:
        run = self._find(fence.run_id)
        held = run is not None and run.attempt == fence.attempt and run.finished_at is None
        refuse_superseded(fence, held=held)
