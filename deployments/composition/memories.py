"""The long-term memory of users, as a replica needs it."""

import os

from uuid_utils.compat import uuid7

from configs.memory import EmbeddingSettings, MemorySettings
from configs.section import EnvRef
from services.llm.embeddings import EmbeddingSpec, OpenAIEmbeddings
from services.memories import EmbeddingModel, MemoryLimits
from services.storage import memories_vectors
from services.storage.database import Database
from services.storage.memories import MemoryRepository
from services.storage.memories_vectors import MemoryVectors

MINUTES_PER_DAY = 1_440.0


def open_memories(
    settings: MemorySettings, database: Database, embeddings: OpenAIEmbeddings | None = None
) -> MemoryRepository:
    """Return everybody's memories. Without `embeddings` they are found by their words alone, as they are for their users."""
    vectors = None
    if embeddings is not None:
        vectors = MemoryVectors(EmbeddingModel(name=embeddings.name, embed=embeddings))
    return MemoryRepository(
        database,
        limits=MemoryLimits(max_items=settings.max_items, max_value_bytes=settings.max_value_bytes),
        ttl=None if settings.ttl_days is None else {"default_ttl": settings.ttl_days * MINUTES_PER_DAY},
        vectors=vectors,
        new_id=uuid7,
    )


async def open_embeddings(settings: MemorySettings, database: Database) -> OpenAIEmbeddings | None:
    """Return the embedding model, where one is configured, and make what Postgres needs for it.

    Raises ConfigurationError where Postgres has no pgvector.
    """
    if settings.embedding is None:
        return None
    await memories_vectors.enable(database)
    return OpenAIEmbeddings(_spec(settings.embedding))


def _spec(settings: EmbeddingSettings) -> EmbeddingSpec:
    def resolved(value: str | EnvRef | None) -> str:
        return "" if value is None else value if isinstance(value, str) else value.resolve(os.environ)

    return EmbeddingSpec(
        model=resolved(settings.model),
        base_url=resolved(settings.base_url),
        api_key=resolved(settings.api_key),
        dimensions=settings.dimensions,
        timeout_s=settings.timeout_s,
    )
