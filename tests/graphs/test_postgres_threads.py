"""Threads and runs in the store that production uses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from graphs import GRAPHS
from graphs.build import build
from graphs.runner import GraphRunner
from graphs.saver import Checkpointing
from graphs.spec import GraphOptions
from graphs.tools.care import ToolCare
from services.errors import RunSuperseded
from services.storage.checkpointer import ThreadReader
from services.storage.database import Database
from services.storage.effects import EffectRepository
from services.storage.run_checkpoints import RunCheckpointRepository
from services.types import RunStatus
from tests.graphs.fakes import NOON, Stuck, Turn, acting, calls, make_graph, says, shape, tool_of, turn
from tests.services.storage.test_run_checkpoints import in_postgres

pytestmark = pytest.mark.postgres

SUM = ("calculator", {"expression": "6 * 7"})


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url)
    try:
        yield opened
    finally:
        await opened.close()


def stored(database: Database) -> Checkpointing:
    return Checkpointing(saver=ThreadReader(database), store=RunCheckpointRepository(database))


async def begun(database: Database, turned: Turn) -> Turn:
    """A turn whose run is in the database, at its attempt."""
    await in_postgres(database).put(turned.context.run)
    return turned


async def ended(database: Database, turned: Turn, status: RunStatus = RunStatus.COMPLETED) -> None:
    await in_postgres(database).put(replace(turned.context.run, status=status, finished_at=NOON))


async def stopped(graph: GraphRunner, turned: Turn, stuck: Stuck) -> None:
    """Let a turn run until it is stuck, and cancel it."""
    running = asyncio.create_task(graph.invoke(turned.context))
    await stuck.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every statement: each method of the stores borrows a connection for one."""
    counted: list[int] = []
    borrow: Callable[[], AbstractAsyncContextManager[Any]] = database.raw

    def counting() -> AbstractAsyncContextManager[Any]:
        counted.append(1)
        return borrow()

    monkeypatch.setattr(database, "raw", counting)
    return counted


@pytest.mark.parametrize("kind", GRAPHS)
async def test_a_thread_survives_its_replica(database: Database, kind: str) -> None:
    """Another replica's graph goes on where the first one's stopped."""
    thread_id = uuid4()
    first = turn(lambda call: says("Hello."), looping=True, user="first", thread_id=thread_id)
    await make_graph(kind, stored(database)).invoke((await begun(database, first)).context)
    await ended(database, first)
    second = turn(lambda call: says("Again."), looping=True, user="second", thread_id=thread_id)
    await make_graph(kind, stored(database)).invoke((await begun(database, second)).context)
    texts = [text for _, text in second.model.asked[0].texts]
    assert texts[1:4] == ["first", "Hello.", "second"]


async def test_a_cancelled_turn_leaves_a_valid_thread(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn cancelled while a tool works is saved with its question, and the next turn is not in its way."""
    stuck, thread_id = Stuck(), uuid4()

    async def search(self: object, query: str, limit: int) -> object:
        return await stuck.wait()

    monkeypatch.setattr("tests.graphs.fakes.FewDocuments.search", search)
    graph = make_graph(checkpointing=stored(database))
    first = turn(calls(("search_documents", {"query": "refunds"})), user="first", thread_id=thread_id)
    await stopped(graph, await begun(database, first), stuck)
    await ended(database, first, RunStatus.CANCELLED)
    second = turn(says("ok"), user="second", thread_id=thread_id)
    await graph.invoke((await begun(database, second)).context)
    assert shape(second.model.asked[0].call.messages) == ["system", "human", "human"]


async def test_a_run_goes_on_with_another_replica(database: Database) -> None:
    """A run that was stopped while its model spoke goes on after the tool, and its first replica writes nothing more."""
    stuck = Stuck()
    first = await begun(database, turn(calls(SUM), lambda call: stuck.wait()))
    await stopped(make_graph(checkpointing=stored(database)), first, stuck)
    progress = await in_postgres(database).progress(first.context.run.id)
    run = replace(first.context.run, attempt=2)
    later = await begun(database, turn(says("42"), run=run, progress=progress))
    result = await make_graph(checkpointing=stored(database)).invoke(later.context)
    assert shape(result.messages) == ["assistant(c0)", "tool(c0)", "assistant"]
    assert shape(later.model.asked[0].call.messages) == ["system", "human", "ai(c0)", "tool(c0)"]
    with pytest.raises(RunSuperseded):
        await make_graph(checkpointing=stored(database)).invoke(turn(says("43"), run=first.context.run).context)


async def test_a_person_is_asked_and_answers_later(database: Database) -> None:
    """Asked on one replica and decided on another: the call is made once, by the ledger, and then the turn ends."""
    sent: list[str] = []

    async def send_mail(to: str) -> str:
        sent.append(to)
        return f"sent to {to}"

    def replica() -> GraphRunner:
        options = GraphOptions(approve=("send_mail",), tool_care=ToolCare(ledger=EffectRepository(database)))
        return build("react", options, [acting(tool_of(send_mail, "send_mail"), "once")], stored(database))

    asking = await begun(database, turn(calls(("send_mail", {"to": "alice"}))))
    result = await replica().invoke(asking.context)
    assert (len(result.interrupts), sent) == (1, [])
    await ended(database, asking, RunStatus.INTERRUPTED)
    run = replace(asking.context.run, id=uuid4(), messages=(), decisions=({"type": "approve"},))
    decided = await begun(database, turn(says("Done."), run=run))
    result = await replica().invoke(decided.context)
    assert sent == ["alice"]
    assert [message.content for message in result.messages] == ["sent to alice", "Done."]


async def test_what_a_turn_costs(database: Database, statements: list[int]) -> None:
    """A turn of one model call is one statement to read its thread and one to store it; tools add two; nobody's thread none."""
    graph = make_graph(checkpointing=stored(database))
    costs = []
    for turned in (turn(says("Hi.")), turn(calls(SUM), says("42")), turn(calls(SUM), says("42"), ephemeral=True)):
        await begun(database, turned)
        statements.clear()
        await graph.invoke(turned.context)
        costs.append(len(statements))
    assert costs[0] == 2
    assert costs[1] in (3, 4)  # while one checkpoint is being stored the next may be overtaken
    assert costs[2] == 0
