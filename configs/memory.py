"""The settings of what agents remember of a user."""

from pydantic import Field

from configs.section import EnvRef, PositiveSeconds, Section


class EmbeddingSettings(Section):
    """A model behind OpenAI's `/embeddings`, for memories that are found by their meaning. Postgres then needs pgvector."""

    model: str | EnvRef
    base_url: str | EnvRef
    api_key: EnvRef | None = None
    dimensions: int | None = Field(default=None, ge=1, le=16_000, description="asked for, where a model offers several")
    timeout_s: PositiveSeconds = Field(default=5.0, description="remembering and recalling wait for it")


class MemorySettings(Section):
    """What agents remember of a user beyond a thread."""

    max_items: int = Field(default=1_000, ge=1, le=10_000, description="of one user")
    max_value_bytes: int = Field(default=16_384, ge=256, le=131_072, description="of one memory, as JSON")
    ttl_days: float | None = Field(
        default=None, gt=0, le=3_650, description="how long one is kept that nobody reads; unset: until it is erased"
    )
    embedding: EmbeddingSettings | None = None
