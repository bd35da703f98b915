"""The event log as it is read: the same in memory and in Postgres."""

from dataclasses import replace

from uuid_utils.compat import uuid7

from services.events import EventBatch, RunEvent, RunRestarted, RunStarted, TextDelta
from services.runs.ports import LogPage
from services.storage.run_log import PAGE_ROWS
from services.types import Claim, EventId, RunStatus, Usage
from tests.services.storage.conftest import ALICE, ANSWERED, Stores, a_row, a_run


def texts(first: int, until: int) -> list[RunEvent]:
    return [TextDelta(text=str(n)) for n in range(first, until)]


def at(attempt: int, seq: int) -> EventId:
    return EventId(attempt=attempt, seq=seq)


async def tell(stores: Stores, claim: Claim, first_seq: int, events: list[RunEvent]) -> None:
    assert await stores.owned.append([a_row(claim.fence, first_seq, events)]) == set()


async def test_a_log_is_read_from_the_beginning(stores: Stores) -> None:
    """Rows come back as they were stored, in order, field for field."""
    claim = await stores.claimed(a_run())
    started = RunStarted(run_id=claim.run.id, thread_id=claim.run.thread_id, graph="assistant")
    await tell(stores, claim, 0, [started, TextDelta(text="Two 😀 \x00", source="sales")])
    await tell(stores, claim, 2, texts(2, 4))
    page = (await stores.log.read({claim.run.id: None}))[claim.run.id]
    assert page.ended is None
    assert page.batches == (
        EventBatch(attempt=1, first_seq=0, events=(started, TextDelta(text="Two 😀 \x00", source="sales"))),
        EventBatch(attempt=1, first_seq=2, events=tuple(texts(2, 4))),
    )


async def test_a_log_is_read_on_from_any_event(stores: Stores) -> None:
    """Behind each position stands exactly what follows it, whether or not it lies within a row."""
    claim = await stores.claimed(a_run())
    await tell(stores, claim, 0, texts(0, 3))
    await tell(stores, claim, 3, texts(3, 4))
    await tell(stores, claim, 4, texts(4, 9))
    for seq in range(-1, 9):
        page = (await stores.log.read({claim.run.id: at(1, seq)}))[claim.run.id]
        events = [event for batch in page.batches for event in batch.events]
        assert events == texts(seq + 1, 9)
        assert [batch.first_seq for batch in page.batches][:1] == ([seq + 1] if seq < 8 else [])


async def test_the_attempts_follow_each_other(stores: Stores) -> None:
    """What a taken over run had said comes before what its next owner says, and a position lies in one of them."""
    first = await stores.claimed(a_run())
    await tell(stores, first, 0, texts(0, 4))
    [second] = await stores.taken_over()
    restarted = RunRestarted(attempt=2, keep=at(1, 1))
    await tell(stores, second, 0, [restarted, *texts(2, 4)])
    read = (await stores.log.read({first.run.id: at(1, 2)}))[first.run.id]
    assert [(batch.attempt, batch.first_seq, len(batch.events)) for batch in read.batches] == [(1, 3, 1), (2, 0, 3)]
    read = (await stores.log.read({first.run.id: at(2, 0)}))[first.run.id]
    assert [(batch.attempt, batch.first_seq, len(batch.events)) for batch in read.batches] == [(2, 1, 2)]


async def test_many_runs_are_read_at_once(stores: Stores) -> None:
    """Each from its own position; a run that is not there has no page, and one that said nothing has an empty one."""
    one, two, silent = [await stores.claimed(a_run()) for _ in range(3)]
    for claim in (one, two):
        await tell(stores, claim, 0, texts(0, 2))
    pages = await stores.log.read({one.run.id: None, two.run.id: at(1, 0), silent.run.id: None, uuid7(): None})
    assert {run_id: [len(batch.events) for batch in page.batches] for run_id, page in pages.items()} == {
        one.run.id: [2],
        two.run.id: [1],
        silent.run.id: [],
    }
    assert all(page.ended is None for page in pages.values())
    assert await stores.log.read({}) == {}


async def test_a_long_log_comes_in_pages(stores: Stores) -> None:
    """Pages join without gap or overlap, and that the run has ended is said with the last one only."""
    claim = await stores.claimed(a_run())
    rows = [a_row(claim.fence, seq, texts(seq, seq + 1)) for seq in range(2 * PAGE_ROWS + 5)]
    await stores.owned.append(rows)
    await stores.owned.finish(claim, ANSWERED, [])
    position: EventId | None = None
    pages: list[LogPage] = []
    while not pages or pages[-1].ended is None:
        pages.append((await stores.log.read({claim.run.id: position}))[claim.run.id])
        position = pages[-1].batches[-1].last if pages[-1].batches else position
    assert [len(page.batches) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 5]
    events = [event for page in pages for batch in page.batches for event in batch.events]
    assert events == texts(0, 2 * PAGE_ROWS + 5)


async def test_a_page_of_all_that_is_left_says_nothing_of_the_end(stores: Stores) -> None:
    """With exactly one page stored the end is said by the page behind it."""
    claim = await stores.claimed(a_run())
    await stores.owned.append([a_row(claim.fence, seq, texts(seq, seq + 1)) for seq in range(PAGE_ROWS)])
    await stores.owned.finish(claim, ANSWERED, [])
    assert (await stores.log.read({claim.run.id: None}))[claim.run.id].ended is None
    last = (await stores.log.read({claim.run.id: at(1, PAGE_ROWS - 1)}))[claim.run.id]
    assert (last.batches, last.ended is not None) == ((), True)


async def test_the_end_is_said_as_the_store_has_it(stores: Stores) -> None:
    """Status, reason and usage, whoever ended the run; its messages are not read along."""
    answered = await stores.answered(a_run())
    untold = a_run()
    await stores.runs.create(untold)
    await stores.runs.finish(untold, replace(ANSWERED, status=RunStatus.CANCELLED, usage=Usage()))
    pages = await stores.log.read({answered.id: None, untold.id: at(3, 9)})
    for run in (answered, untold):
        stored = await stores.runs.get(ALICE, run.id)
        assert pages[run.id].ended == replace(stored, messages=())
    assert pages[answered.id].ended != pages[untold.id].ended
