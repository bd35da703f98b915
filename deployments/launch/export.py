"""`export`: turns of production as a data set, for whoever may read what users have said."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.storage import migrate
from services.storage.database import Database
from services.storage.turns import Turn, TurnRepository


async def export(url: str, out: Path, *, tenant_id: str, days: float, disliked_only: bool, limit: int) -> int:
    """Write a tenant's turns to a new file that only we can read; return how many.

    Raises SchemaMismatch and StoreUnavailable, and FileExistsError for a file that is there: none is written over.
    """
    database = Database.open(url, pool_size=1, application_name="mainstay-export")
    try:
        await migrate.require_head(database)
        since = datetime.now(UTC) - timedelta(days=days)
        turns = await TurnRepository(database, tenant_id).looked_at(since, disliked_only=disliked_only, limit=limit)
    finally:
        await database.close()
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(case(turn), ensure_ascii=False) + "\n" for turn in turns)
    return len(turns)


def case(turn: Turn) -> dict[str, object]:
    """Return a turn as a line of a data set. What was answered is for reading: it is no reference, for it may be wrong."""
    return {
        "id": str(turn.run_id),
        "messages": [{"role": message.role, "content": message.content} for message in turn.messages],
        "answered": turn.answer,
        "tags": [turn.graph, "disliked" if turn.disliked else "sampled"],
    }
