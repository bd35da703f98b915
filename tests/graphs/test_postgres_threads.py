"""Threads in the checkpointer that production uses."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from graphs import GRAPHS
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from tests.graphs.fakes import Stuck, calls, make_graph, says, shape, turn

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.mark.parametrize("kind", GRAPHS)
async def test_a_thread_survives_its_replica(database: Database, kind: str) -> None:
    """Another replica's graph goes on where the first one's stopped."""
    thread_id = uuid4()
    first = make_graph(kind, checkpointer=AsyncpgSaver(database))
    await first.invoke(turn(lambda call: says("Hello."), looping=True, user="first", thread_id=thread_id).context)
    second = turn(lambda call: says("Again."), looping=True, user="second", thread_id=thread_id)
    await make_graph(kind, checkpointer=AsyncpgSaver(database)).invoke(second.context)
    texts = [text for _, text in second.model.asked[0].texts]
    assert texts[1:4] == ["first", "Hello.", "second"]


async def test_a_cancelled_turn_leaves_a_valid_thread(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn cancelled while a tool works is saved with its question, and the next turn is not in its way."""
    stuck, thread_id = Stuck(), uuid4()

    async def search(self: object, query: str, limit: int) -> object:
        return await stuck.wait()

    monkeypatch.setattr("tests.graphs.fakes.FewDocuments.search", search)
    graph = make_graph(checkpointer=AsyncpgSaver(database))
    first = turn(calls(("search_documents", {"query": "refunds"})), user="first", thread_id=thread_id)
    task = asyncio.create_task(graph.invoke(first.context))
    await stuck.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = turn(says("ok"), user="second", thread_id=thread_id)
    await graph.invoke(second.context)
    assert shape(second.model.asked[0].call.messages) == ["system", "human", "human"]
