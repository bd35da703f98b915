"""Memories by their meaning: pgvector, where an embedding model is configured."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.errors import ConfigurationError, ModelUnreachable
from services.memories import EmbeddingModel
from services.storage import memories_vectors
from services.storage.database import Database
from services.storage.memories import MemoryRepository
from services.storage.memories_vectors import MAX_TEXT_CHARS, MemoryVectors
from tests.services.storage.conftest import ALICE, BOB

pytestmark = pytest.mark.postgres

NOTES = ("notes",)
THEMES = (("dog", "puppy", "pet"), ("car", "volvo", "vehicle"), ("tea", "coffee", "drink"))


@dataclass
class Themes:
    """An embedding model that knows three themes, and nothing else."""

    name: str = "themes"
    dimensions: int = len(THEMES)
    fails: bool = False
    asked: list[str] = field(default_factory=list)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self.fails:
            raise ModelUnreachable("Nobody is there.")
        self.asked += texts
        return [[float(any(word in text.lower() for word in theme)) + 0.01 for theme in THEMES] for text in texts]

    def vectors(self) -> MemoryVectors:
        return MemoryVectors(EmbeddingModel(name=self.name, embed=self.embed))


@pytest.fixture
async def database(database: Database) -> Database:
    """A database in which vectors can be stored."""
    await memories_vectors.enable(database)
    return database


async def found(memories: MemoryRepository, query: str) -> list[str]:
    store = memories.of(ALICE.tenant_id, ALICE.user_id)
    return [item.key for item in await store.asearch((), query=query)]


async def remembered(database: Database, model: Themes) -> MemoryRepository:
    memories = MemoryRepository(database, vectors=model.vectors())
    store = memories.of(ALICE.tenant_id, ALICE.user_id)
    await store.aput(NOTES, "rex", {"text": "Rex is a puppy"})
    await store.aput(NOTES, "car", {"text": "An old Volvo"})
    await store.aput(NOTES, "tea", {"text": "Green tea"})
    return memories


async def rows(database: Database) -> int:
    async with database.raw() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM memory_vectors")
        return count


async def test_enabling_twice_at_once_makes_one_table(database: Database) -> None:
    """However many replicas start at the same moment, and however often."""
    await asyncio.gather(*(memories_vectors.enable(database) for _ in range(3)))
    assert await rows(database) == 0


async def test_what_means_the_same_is_found(database: Database) -> None:
    """No word in common is needed, and what has both the meaning and the words comes before what has one of them."""
    memories = await remembered(database, Themes())
    assert (await found(memories, "Which pet?"))[0] == "rex"
    assert (await found(memories, "my vehicle"))[0] == "car"
    store = memories.of(ALICE.tenant_id, ALICE.user_id)
    await store.aput(NOTES, "both", {"text": "This drink is green"})
    await store.aput(NOTES, "words", {"text": "A green lawn"})
    assert (await found(memories, "green drink"))[0] == "both"
    assert await found(memories, "?!") == ["words", "both", "tea", "car", "rex"]


async def test_filters_namespaces_and_users_hold_here_too(database: Database) -> None:
    """A near vector finds nothing that the search is not about."""
    memories = await remembered(database, Themes())
    store = memories.of(ALICE.tenant_id, ALICE.user_id)
    assert await store.asearch(("other",), query="pet") == []
    assert await store.asearch((), query="pet", filter={"text": "x"}) == []
    assert await memories.of(BOB.tenant_id, BOB.user_id).asearch((), query="pet") == []
    assert [item.key for item in await store.asearch((), query="pet", limit=1, offset=0)] == ["rex"]


async def test_a_model_that_is_away_costs_meaning_not_memories(database: Database) -> None:
    """Memories are stored and found by their words; `fill` embeds them when the model is back."""
    model = Themes(fails=True)
    memories = await remembered(database, model)
    assert await found(memories, "puppy") == ["rex"]
    assert await found(memories, "pet") == []
    with pytest.raises(ModelUnreachable):
        await model.vectors().fill(database)
    model.fails = False
    assert [await model.vectors().fill(database, limit=2) for _ in range(3)] == [2, 1, 0]
    assert (await found(memories, "pet"))[0] == "rex"


async def test_a_memory_that_was_written_anew_has_no_old_vector(database: Database) -> None:
    """A vector counts for the text it was made of, whoever wrote the memory since."""
    memories = await remembered(database, Themes())
    await MemoryRepository(database).of(ALICE.tenant_id, ALICE.user_id).aput(NOTES, "rex", {"text": "Rex is a king"})
    assert "rex" not in await found(memories, "pet")
    assert await Themes().vectors().fill(database) == 1
    assert "rex" in await found(memories, "pet")
    assert await rows(database) == 3


async def test_another_models_vectors_are_not_compared(database: Database) -> None:
    """After a change of model memories are found by their words until they are embedded anew, whatever the dimensions."""
    await remembered(database, Themes())

    async def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [[1.0, float("puppy" in text)] for text in texts]

    other = MemoryVectors(EmbeddingModel(name="other", embed=embed))
    memories = MemoryRepository(database, vectors=other)
    assert await found(memories, "puppy") == ["rex"]
    assert await other.fill(database) == 3
    assert await found(memories, "puppy") == ["rex", "tea", "car"]


@pytest.mark.parametrize("vector", [[], [float("nan")], [float("inf")], [1.0] * 20_000])
async def test_an_answer_that_is_no_vector_costs_no_memory(database: Database, vector: list[float]) -> None:
    """A model that answers nonsense is as one that is away, and so is one that answers too little."""

    async def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [vector] if vector else []

    memories = MemoryRepository(database, vectors=MemoryVectors(EmbeddingModel(name="odd", embed=embed)))
    await memories.of(ALICE.tenant_id, ALICE.user_id).aput(NOTES, "tea", {"text": "green tea"})
    assert await found(memories, "tea") == ["tea"]
    assert await rows(database) == 0


async def test_what_is_erased_leaves_no_vector(database: Database) -> None:
    """Vectors go with their memories, whichever way those go; what is not to be searched has none."""
    memories = await remembered(database, Themes())
    store = memories.of(ALICE.tenant_id, ALICE.user_id)
    await store.aput(NOTES, "hidden", {"text": "puppy"}, index=False)
    assert await rows(database) == 3
    await store.adelete(NOTES, "rex")
    [newest, *_] = [memory for memory in await memories.list(ALICE, limit=9) if memory.key != "hidden"]
    await memories.delete(ALICE, newest.id)
    assert await rows(database) == 1
    await memories.erase(ALICE)
    assert await rows(database) == 0


async def test_a_model_reads_no_more_than_it_can(database: Database) -> None:
    """A long text is cut for the model; one batch of writes is one request to it."""
    model = Themes()
    store = MemoryRepository(database, vectors=model.vectors()).of(ALICE.tenant_id, ALICE.user_id)
    await store.aput(NOTES, "long", {"text": "word " * 3_000})
    assert [len(text) for text in model.asked] == [MAX_TEXT_CHARS]


async def test_without_the_right_to_make_it_the_remedy_is_told(database: Database, fresh_database_url: str) -> None:
    """A user who may not make the extension gets a ConfigurationError that says what to do."""
    role = "nobody_in_particular"
    async with database.raw() as connection:
        await connection.execute(f"DROP ROLE IF EXISTS {role}")
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    refused = Database.open(fresh_database_url.replace("postgres:@", f"{role}:@").replace("postgres@", f"{role}@"))
    try:
        with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
            await memories_vectors.enable(refused)
    finally:
        await refused.close()
