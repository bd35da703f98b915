"""Memories by their meaning: the vectors that an embedding model makes of them, in pgvector.

The table is made on demand, not by a migration: only who configures an embedding model needs the extension. It has no index
for nearest neighbours. A search reads the vectors of one user, which are few, and so it is exact.

A memory never depends on its vector. Where the model cannot be asked the memory is stored and searched by its words alone;
`fill` makes up for it later. A vector counts while its memory has not been written since, and under its own model's name.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

import asyncpg

from services.errors import ConfigurationError, MainstayError, ModelStreamBroken
from services.memories import EmbeddingModel
from services.storage import memories_sql as sql
from services.storage.database import Database
from services.storage.encoding import to_json
from services.storage.memories_terms import Written

logger = logging.getLogger(__name__)

MAX_TEXT_CHARS = 8_000
"""Of a memory, for the model: it would refuse what is over its window."""

MAX_DIMENSIONS = 16_000
"""pgvector's limit."""

_LOCK = 0x6D656D6F72696573  # "memories": two who make the table at once would otherwise collide in the catalogue


async def enable(database: Database) -> None:
    """Make the extension and the table where they are not there yet. Needs the right to create both.

    Raises ConfigurationError where Postgres does not have the extension, or does not let this user make it.
    """
    async with database.raw() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            for statement in sql.ENABLE_VECTORS:
                await connection.execute(statement)
        except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError):
            problem = "Postgres cannot make the extension `vector`"
        else:
            return
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    raise ConfigurationError(
        f"{problem}: install pgvector on its server, have an administrator run CREATE EXTENSION vector, or configure no "
        "embedding model for memories."
    )


class MemoryVectors:
    """What `MemoryRepository` needs to search by meaning. The table must be there: `enable`."""

    def __init__(self, embedding: EmbeddingModel) -> None:
        self._embedding = embedding
        self.model = embedding.name

    async def of(self, puts: Sequence[Written]) -> list[dict[str, Any]]:
        """Return the vectors of what is to be stored, as `PUT_VECTORS` takes them; none where there is nothing to embed."""
        worth = [put for put in puts if put.text.strip()]
        vectors = await self._embedded([put.text for put in worth])
        return [
            {"namespace": put.namespace, "key": put.key, "embedding": vector}
            for put, vector in zip(worth, vectors, strict=False)
        ]

    async def of_query(self, query: str) -> str | None:
        """Return the vector of what is searched for, None where it cannot be had."""
        vectors = await self._embedded([query])
        return vectors[0] if vectors else None

    async def fill(self, database: Database, *, limit: int = 100) -> int:
        """Embed at most `limit` memories of anybody that this model has no vector of, and return how many it did.

        For when a model is configured first, or another one, or was away. Raises what the model raises.
        """
        async with database.raw() as connection:
            rows = await connection.fetch(sql.WITHOUT_VECTOR, self.model, limit)
        if not rows:
            return 0
        vectors = await self._asked([row["text"] for row in rows])
        made = [
            {**{name: row[name] for name in ("tenant_id", "user_id", "namespace", "key")}, "embedding": vector}
            | {"written_at": row["updated_at"]}
            for row, vector in zip(rows, vectors, strict=True)
        ]
        async with database.raw() as connection:
            await connection.execute(sql.FILL_VECTORS, to_json(made), self.model)
        return len(rows)

    async def _embedded(self, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        try:
            return await self._asked(texts)
        except MainstayError as error:
            logger.warning("memories are searched by their words alone: %s", error.message)
            return []

    async def _asked(self, texts: Sequence[str]) -> list[str]:
        vectors = await self._embedding.embed([text[:MAX_TEXT_CHARS] for text in texts])
        fine = all(0 < len(vector) <= MAX_DIMENSIONS and all(map(math.isfinite, vector)) for vector in vectors)
        if len(vectors) != len(texts) or not fine:
            raise ModelStreamBroken(f"{self.model} did not answer with a vector for each of {len(texts)} texts.")
        return [to_json([float(number) for number in vector]) for vector in vectors]
