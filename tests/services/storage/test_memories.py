"""What long-term memory promises, in memory and in Postgres alike."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
    TTLConfig,
)

from services.errors import InvalidRequest, NotFound
from services.memories import MAX_QUERY_CHARS, Memories, MemoryLimits, Namespace
from services.storage.database import Database
from services.storage.memories import MemoryRepository
from services.storage.memories_in_memory import InMemoryMemories
from services.types import Principal
from tests.services.storage.conftest import ALICE, BOB, MALLORY

NOTES = ("notes",)


@dataclass(frozen=True, kw_only=True)
class Remembering:
    """Everybody's memories, and the time that passes there: `later(60.0)` has all of them expire a minute sooner."""

    memories: MemoryRepository | InMemoryMemories
    later: Callable[[float], Awaitable[None]]

    def of(self, principal: Principal) -> BaseStore:
        return self.memories.of(principal.tenant_id, principal.user_id)


Make = Callable[..., Remembering]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the memories with the options given, once in memory and once in Postgres."""
    if request.param == "memory":
        return in_memory
    database: Database = request.getfixturevalue("database")
    return lambda **options: in_postgres(database, **options)


@pytest.fixture
def remembering(make: Make) -> Remembering:
    """The memories as they are by default."""
    return make()


@pytest.fixture
def alice(remembering: Remembering) -> BaseStore:
    """The store of one user."""
    return remembering.of(ALICE)


def in_memory(**options: Any) -> Remembering:
    passed = timedelta()

    async def later(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=seconds)

    return Remembering(memories=InMemoryMemories(now=lambda: datetime.now(UTC) + passed, **options), later=later)


def in_postgres(database: Database, **options: Any) -> Remembering:
    async def later(seconds: float) -> None:
        async with database.raw() as connection:
            await connection.execute("UPDATE memories SET expires_at = expires_at - make_interval(secs => $1)", seconds)

    return Remembering(memories=MemoryRepository(database, **options), later=later)


async def keys(store: BaseStore, namespace: Namespace = (), **wanted: Any) -> list[str]:
    return [item.key for item in await store.asearch(namespace, **wanted)]


async def test_what_is_put_can_be_got(alice: BaseStore) -> None:
    """A value comes back as it was given, with its place and its times; what is not there is None."""
    value = {
        "text": "Likes tea – ☕ 'and' \"quotes\" \\",
        "count": 3,
        "rate": 0.5,
        "none": None,
        "in": {"depth": [1, True]},
    }
    await alice.aput(("notes", "drinks"), "tea", value)
    item = await alice.aget(("notes", "drinks"), "tea")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (("notes", "drinks"), "tea", value)
    assert abs(datetime.now(UTC) - item.created_at) < timedelta(minutes=1)
    assert item.created_at == item.updated_at
    assert await alice.aget(("notes", "drinks"), "coffee") is None
    assert await alice.aget(NOTES, "tea") is None


async def test_putting_again_replaces(alice: BaseStore) -> None:
    """The new value takes the place of the old one, which keeps the time it was made."""
    await alice.aput(NOTES, "tea", {"text": "green", "old": 1})
    before = await alice.aget(NOTES, "tea")
    await alice.aput(NOTES, "tea", {"text": "black"})
    after = await alice.aget(NOTES, "tea")
    assert before is not None
    assert after is not None
    assert after.value == {"text": "black"}
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at
    assert await keys(alice, query="green") == []


async def test_what_is_deleted_is_gone(alice: BaseStore) -> None:
    """Deleting erases one memory, and twice is no error."""
    await alice.aput(NOTES, "tea", {"text": "green"})
    await alice.aput(NOTES, "milk", {"text": "oat"})
    for _ in range(2):
        await alice.adelete(NOTES, "tea")
    assert await keys(alice) == ["milk"]


async def test_a_user_reaches_nobody_elses_memories(remembering: Remembering) -> None:
    """Another user and the user of the same name at another tenant have stores of their own, whatever they ask."""
    alice, others = remembering.of(ALICE), (remembering.of(BOB), remembering.of(MALLORY))
    await alice.aput(NOTES, "tea", {"text": "green tea"})
    [mine] = await remembering.memories.list(ALICE, limit=10)
    for other, principal in zip(others, (BOB, MALLORY), strict=True):
        assert await other.aget(NOTES, "tea") is None
        assert await other.asearch(()) == []
        assert await other.asearch((), query="tea") == []
        assert await other.alist_namespaces() == []
        await other.adelete(NOTES, "tea")
        await other.aput(NOTES, "tea", {"text": "theirs"})
        assert await remembering.memories.list(principal, limit=10, after=mine.id) == []
        with pytest.raises(NotFound):
            await remembering.memories.delete(principal, mine.id)
        assert await remembering.memories.erase(principal) == 1
    item = await alice.aget(NOTES, "tea")
    assert item is not None
    assert item.value == {"text": "green tea"}


async def test_a_batch_reads_before_it_writes(alice: BaseStore) -> None:
    """Each operation has its result at its place; of several writes to one place the last counts."""
    await alice.aput(NOTES, "tea", {"text": "green"})
    results = await alice.abatch(
        [
            PutOp(NOTES, "tea", {"text": "first"}),
            GetOp(NOTES, "tea"),
            SearchOp(NOTES),
            PutOp(NOTES, "milk", {"text": "oat"}),
            ListNamespacesOp(),
            PutOp(NOTES, "tea", {"text": "last"}),
            PutOp(NOTES, "milk", None),
            GetOp(NOTES, "milk"),
        ]
    )
    assert [type(result).__name__ for result in results] == [
        "NoneType", "Item", "list", "NoneType", "list", "NoneType", "NoneType", "NoneType",
    ]  # fmt: skip
    assert results[1].value == {"text": "green"}  # type: ignore[union-attr]
    assert [item.key for item in results[2]] == ["tea"]  # type: ignore[union-attr]
    assert results[4] == [NOTES]
    assert [(item.key, item.value["text"]) for item in await alice.asearch(())] == [("tea", "last")]
    assert await alice.abatch([]) == []


async def test_a_search_goes_by_words_any_of_which_is_enough(alice: BaseStore) -> None:
    """A question finds what shares words with it, the rare ones counting most; what shares none stays away."""
    for key, text in (
        ("dog", "The dog is called Rex"),
        ("car", "The car is an old Volvo"),
        ("job", "Works as a nurse"),
    ):
        await alice.aput(NOTES, key, {"text": text})
    assert await keys(alice, query="What is the DOG called?") == ["dog", "car"]
    assert await keys(alice, query="volvo") == ["car"]
    assert await keys(alice, query="zebra") == []
    [best, second] = await alice.asearch((), query="What is the dog called?")
    assert best.score is not None
    assert second.score is not None
    assert best.score > second.score > 0


@pytest.mark.parametrize("query", [None, "", "  ", "?!", "' | & : * \\ <-> ()"])
async def test_without_words_the_newest_come_first(alice: BaseStore, query: str | None) -> None:
    """A search without a query, or with one that has no word in it, lists the memories, the last written first."""
    for key in ("a", "b", "c", "a"):
        await alice.aput(NOTES, key, {"text": key})
    assert await keys(alice, query=query) == ["a", "c", "b"]


async def test_no_query_is_an_error(alice: BaseStore) -> None:
    """Quotes, operators, backslashes and odd characters are words or nothing, and never fail."""
    await alice.aput(NOTES, "path", {"text": r"C:\temp\o'brien lives at /home/o'brien and o'brien@example.org"})
    for query in (
        "o'brien",
        "a:*b",
        r"\'",
        r"C:\temp",
        "/home/o'brien",
        "o'brien@example.org",
        '"',
        "😀 ß",
        "-o -- ! &",
    ):
        assert len(await keys(alice, query=query)) <= 1
    assert await keys(alice, query="o'brien") == ["path"]


async def test_searching_is_by_prefix_page_by_page(alice: BaseStore) -> None:
    """A namespace means what stands in it or below it; `limit` and `offset` walk through the results."""
    for place in (("a",), ("a", "b"), ("a", "b", "c"), ("ab",)):
        await alice.aput(place, "-".join(place), {"text": "tea"})
    assert sorted(await keys(alice, ("a",))) == ["a", "a-b", "a-b-c"]
    assert sorted(await keys(alice, ("a", "b"))) == ["a-b", "a-b-c"]
    assert await keys(alice, ("b",)) == []
    everything = await keys(alice)
    assert [*await keys(alice, limit=3), *await keys(alice, limit=3, offset=3)] == everything
    assert await keys(alice, query="tea", limit=2, offset=1) == (await keys(alice, query="tea"))[1:3]
    assert await keys(alice, limit=0) == []


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ({"kind": "drink"}, ["milk", "tea"]),
        ({"kind": {"$eq": "drink"}, "cups": 3}, ["tea"]),
        ({"kind": {"$ne": "drink"}}, ["book", "odd"]),
        ({"cups": {"$gt": 1}}, ["tea"]),
        ({"cups": {"$gte": 1, "$lt": 3}}, ["milk"]),
        ({"cups": {"$lte": 3.0}}, ["milk", "tea"]),
        ({"since": {"$gte": "2024-06"}}, ["milk", "odd"]),
        ({"in": {"house": "kitchen"}}, ["tea"]),
        ({"in": {"floor": {"$gt": 0}}}, ["tea"]),
        ({"in": {"house": {"$ne": "kitchen"}}}, ["book", "milk", "odd"]),
        ({"tags": ["a", 1]}, ["tea"]),
        ({"hot": True}, ["tea"]),
        ({"hot": 1}, ["milk"]),
        ({"hot": None}, ["odd"]),
        ({"cups": 3.0}, ["tea"]),
        ({"it's": {"$eq": "$1; DROP"}}, ["odd"]),
        ({"nothing": "x"}, []),
        ({}, ["book", "milk", "odd", "tea"]),
    ],
)  # fmt: skip
async def test_filters(alice: BaseStore, filter_: dict[str, Any], found: list[str]) -> None:
    """A value's parts are compared as JSON: 1 is 1.0 and not true, an order holds between numbers or between texts."""
    tea = {"kind": "drink", "cups": 3, "since": "2024-01", "in": {"house": "kitchen", "floor": 1}, "tags": ["a", 1]}
    await alice.aput(NOTES, "tea", {**tea, "hot": True})
    await alice.aput(
        NOTES, "milk", {"kind": "drink", "cups": 1, "since": "2024-12", "in": {"house": "cellar"}, "hot": 1}
    )
    await alice.aput(NOTES, "book", {"kind": "thing", "cups": "3", "since": 2024, "hot": False})
    await alice.aput(NOTES, "odd", {"cups": [3], "since": "2025", "hot": None, "it's": "$1; DROP"})
    assert sorted(await keys(alice, filter=filter_)) == found
    assert sorted(await keys(alice, filter=filter_, query="")) == found


async def test_filters_and_words_go_together(alice: BaseStore) -> None:
    """Only what meets the filter is ranked by its words."""
    await alice.aput(NOTES, "tea", {"text": "green tea", "hot": True})
    await alice.aput(NOTES, "ice", {"text": "iced tea", "hot": False})
    assert await keys(alice, query="tea", filter={"hot": True}) == ["tea"]


async def test_what_can_be_searched_is_up_to_the_writer(alice: BaseStore) -> None:
    """By default names, texts and numbers at any depth; with `index` the paths it lists, or nothing."""
    value = {"dish": "soup", "parts": [{"name": "leek"}, {"name": "potato"}], "minutes": 45}
    await alice.aput(NOTES, "all", value)
    await alice.aput(NOTES, "some", value, index=["parts[*].name"])
    await alice.aput(NOTES, "none", value, index=False)
    found = {word: set(await keys(alice, query=word)) for word in ("dish", "soup", "leek", "45")}
    assert found == {"dish": {"all"}, "soup": {"all"}, "leek": {"all", "some"}, "45": {"all"}}
    assert await alice.aget(NOTES, "none") is not None


async def test_namespaces_can_be_listed(alice: BaseStore) -> None:
    """By prefix, by suffix, with a star for any label, cut at a depth, and page by page."""
    for namespace in (("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f")):
        await alice.aput(namespace, "k", {"x": 1})
    await alice.aput(("gone",), "k", {"x": 1})
    await alice.adelete(("gone",), "k")
    assert await alice.alist_namespaces(prefix=("a", "b"), max_depth=3) == [
        ("a", "b", "c"),
        ("a", "b", "d"),
        ("a", "b", "f"),
    ]
    assert await alice.alist_namespaces(suffix=("f",)) == [("a", "b", "f"), ("a", "c", "f")]
    assert await alice.alist_namespaces(prefix=("a", "*", "f")) == [("a", "b", "f"), ("a", "c", "f")]
    assert await alice.alist_namespaces(suffix=("d", "*")) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    assert await alice.alist_namespaces(prefix=("a", "b", "c", "d", "e", "f")) == []
    assert await alice.alist_namespaces(limit=2, offset=1) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    both = (MatchCondition("prefix", ("a",)), MatchCondition("suffix", ("i",)))
    assert (await alice.abatch([ListNamespacesOp(match_conditions=both)]))[0] == [("a", "b", "d", "i")]


async def test_what_has_expired_is_not_there(remembering: Remembering) -> None:
    """Nothing that reads sees it, its place can be written as if it were free, and pruning removes it."""
    alice = remembering.of(ALICE)
    await alice.aput(NOTES, "tea", {"text": "green"}, ttl=1)
    await alice.aput(NOTES, "milk", {"text": "oat"}, ttl=1)
    await alice.aput(("kept",), "bread", {"text": "rye"})
    [*_, first] = [memory for memory in await remembering.memories.list(ALICE, limit=9) if memory.key == "tea"]
    assert first.expires_at is not None
    await remembering.later(61)
    assert await alice.aget(NOTES, "tea") is None
    assert await keys(alice) == ["bread"]
    assert await keys(alice, query="green") == []
    assert await alice.alist_namespaces() == [("kept",)]
    assert [memory.key for memory in await remembering.memories.list(ALICE, limit=9)] == ["bread"]
    with pytest.raises(NotFound):
        await remembering.memories.delete(ALICE, first.id)
    await alice.aput(NOTES, "tea", {"text": "black"})
    [again, _] = await remembering.memories.list(ALICE, limit=9)
    assert (again.value, again.expires_at) == ({"text": "black"}, None)
    assert again.id != first.id
    assert again.created_at == again.updated_at
    assert await remembering.memories.prune(limit=5) == 1
    assert await remembering.memories.prune() == 0
    assert await keys(alice) == ["tea", "bread"]


@pytest.mark.parametrize("read", ["get", "search", "words", "put"])
async def test_a_time_to_live_begins_anew_with_use(remembering: Remembering, read: str) -> None:
    """Reading keeps a memory for its whole time again, unless the reader says otherwise; so does writing."""
    alice = remembering.of(ALICE)

    async def use(*, refresh: bool) -> None:
        match read:
            case "get":
                await alice.aget(NOTES, "tea", refresh_ttl=refresh)
            case "search":
                await alice.asearch(NOTES, refresh_ttl=refresh)
            case "words":
                await alice.asearch(NOTES, query="green", refresh_ttl=refresh)
            case "put" if refresh:
                await alice.aput(NOTES, "tea", {"text": "green"}, ttl=2)

    await alice.aput(NOTES, "tea", {"text": "green"}, ttl=2)
    for _ in range(3):
        await remembering.later(100)
        await use(refresh=True)
    await remembering.later(100)
    await use(refresh=False)
    assert await remembering.memories.list(ALICE, limit=1) != []
    await remembering.later(30)
    assert await remembering.memories.list(ALICE, limit=1) == []


async def test_how_long_is_up_to_the_settings(make: Make) -> None:
    """LangGraph's settings: a time for what is written without one, and whether reading begins it anew."""
    remembering = make(ttl=TTLConfig(default_ttl=1, refresh_on_read=False))
    alice = remembering.of(ALICE)
    await alice.aput(NOTES, "tea", {"text": "green"})
    await alice.aput(NOTES, "milk", {"text": "oat"}, ttl=None)
    await remembering.later(40)
    assert await alice.aget(NOTES, "tea") is not None
    await remembering.later(40)
    assert await keys(alice) == ["milk"]


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e9])
async def test_a_time_that_cannot_be_is_refused(alice: BaseStore, ttl: float) -> None:
    """Nothing is kept for no time, for less, or for thousands of years."""
    with pytest.raises(InvalidRequest):
        await alice.aput(NOTES, "tea", {"text": "green"}, ttl=ttl)


async def test_a_user_has_room_for_so_many(make: Make) -> None:
    """A write that would go over the limit is refused as a whole; what is there can be written, and room be made."""
    remembering = make(limits=MemoryLimits(max_items=3))
    alice, bob = remembering.of(ALICE), remembering.of(BOB)
    await alice.abatch([PutOp(NOTES, key, {"x": 1}) for key in ("a", "b")])
    await alice.aput(NOTES, "short", {"x": 1}, ttl=1)
    with pytest.raises(InvalidRequest, match="room for 3"):
        await alice.aput(NOTES, "d", {"x": 1})
    await alice.aput(NOTES, "a", {"x": 2})
    with pytest.raises(InvalidRequest):
        await alice.abatch([PutOp(NOTES, "a", {"x": 3}), PutOp(NOTES, "b", None), *_puts("d", "e")])
    assert {item.key: item.value["x"] for item in await alice.asearch(())} == {"a": 2, "b": 1, "short": 1}
    await alice.abatch([PutOp(NOTES, "b", None), *_puts("d")])
    await remembering.later(61)
    await alice.aput(NOTES, "e", {"x": 1})
    assert sorted(await keys(alice)) == ["a", "d", "e"]
    await bob.abatch(_puts("a", "b", "c"))


def _puts(*named: str) -> list[PutOp]:
    return [PutOp(NOTES, key, {"x": 1}) for key in named]


@pytest.mark.parametrize(
    ("namespace", "key", "value", "param"),
    [
        ((), "k", {}, "namespace"),
        (("a" * 101,), "k", {}, "namespace"),
        (("a\ud800",), "k", {}, "namespace"),
        (("a",), "", {}, "key"),
        (("a",), "ü" * 26, {}, "key"),
        (("a",), "k\x00", {}, "key"),
        (("a",), "k", {"x": "y" * 1_000}, "value"),
        (("a",), "k", {"x": "\x00"}, None),
        (("a",), "k", {"x": {1, 2}}, None),
        (("a",), "k", {"x": 2**70}, None),
        (("a",), "k", {1: 2}, None),
    ],
    ids=str,
)
async def test_what_cannot_be_stored_is_refused(
    make: Make, namespace: Namespace, key: str, value: dict[str, Any], param: str | None
) -> None:
    """A place that cannot be, a value that is too large or no JSON: InvalidRequest, which names what is wrong."""
    limits = MemoryLimits(max_value_bytes=1_000, max_key_bytes=50, max_namespace_bytes=100)
    store = make(limits=limits).of(ALICE)
    with pytest.raises(InvalidRequest) as refused:
        await store.abatch([PutOp(namespace, key, value)])
    assert refused.value.param == param
    assert await store.asearch(()) == []


@pytest.mark.parametrize(
    "op",
    [
        SearchOp((), query="x" * (MAX_QUERY_CHARS + 1)),
        SearchOp((), query="a\x00"),
        SearchOp((), limit=-1),
        SearchOp((), offset=-1),
        SearchOp((), filter={"a": {"$regex": "x"}}),
        SearchOp((), filter={"a": {"$gt": [1]}}),
        SearchOp((), filter={"a": {"$gt": True}}),
        SearchOp((), filter={"a": "\x00"}),
        SearchOp((), filter={"\x00": 1}),
        SearchOp((), filter={str(number): 1 for number in range(50)}),
        SearchOp((), filter={"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}),
        GetOp(("a",), "\x00"),
        GetOp((), "a"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_refused(alice: BaseStore, op: SearchOp | GetOp) -> None:
    """A query, a filter or a place that makes no sense is InvalidRequest, not an error of the database."""
    with pytest.raises(InvalidRequest):
        await alice.abatch([op])


async def test_langgraphs_own_rules_hold(alice: BaseStore) -> None:
    """A label with a dot is LangGraph's InvalidNamespaceError, also in a batch; the sync methods are not offered."""
    with pytest.raises(InvalidNamespaceError):
        await alice.aput(("a.b",), "k", {})
    with pytest.raises(InvalidNamespaceError):
        await alice.abatch([PutOp(("a.b",), "k", {})])
    with pytest.raises(NotImplementedError):
        alice.put(("a",), "k", {})


async def test_a_user_sees_them_page_by_page(remembering: Remembering) -> None:
    """The last written comes first, `after` continues, a namespace narrows; what is unknown has nothing behind it."""
    memories: Memories = remembering.memories
    store = remembering.of(ALICE)
    for number in range(5):
        await store.aput(("even",) if number % 2 == 0 else ("odd", "deep"), str(number), {"n": number})
    first = await memories.list(ALICE, limit=2)
    second = await memories.list(ALICE, limit=3, after=first[-1].id)
    assert [memory.key for memory in (*first, *second)] == ["4", "3", "2", "1", "0"]
    assert await memories.list(ALICE, limit=3, after=second[-1].id) == []
    assert await memories.list(ALICE, limit=3, after=uuid4()) == []
    assert [memory.key for memory in await memories.list(ALICE, limit=9, namespace=("odd",))] == ["3", "1"]
    [next_odd] = await memories.list(ALICE, limit=9, namespace=("odd",), after=first[-1].id)
    assert (next_odd.namespace, next_odd.key, next_odd.value) == (("odd", "deep"), "1", {"n": 1})


async def test_a_user_can_search_and_does_not_prolong(remembering: Remembering) -> None:
    """The words find the same as for an agent, and looking at a memory does not keep it longer."""
    store = remembering.of(ALICE)
    await store.aput(NOTES, "tea", {"text": "green tea"}, ttl=1)
    await store.aput(("other",), "tea", {"text": "black tea"})
    await remembering.later(40)
    assert [m.key for m in await remembering.memories.search(ALICE, "tea", limit=5, namespace=NOTES)] == ["tea"]
    await remembering.memories.list(ALICE, limit=5)
    await remembering.later(40)
    assert await remembering.memories.search(ALICE, "green", limit=5) == []


async def test_a_user_can_erase_one_some_or_all(remembering: Remembering) -> None:
    """One by its id, all of a namespace, or all there are; a second time there is nothing left."""
    memories, store = remembering.memories, remembering.of(ALICE)
    for namespace in (("a",), ("a", "b"), ("ab",), ("c",)):
        await store.aput(namespace, "k", {"x": 1})
    [newest, *_] = await memories.list(ALICE, limit=9)
    await memories.delete(ALICE, newest.id)
    with pytest.raises(NotFound) as gone:
        await memories.delete(ALICE, newest.id)
    assert gone.value.message == f"There is no memory {newest.id}."
    assert await memories.erase(ALICE, namespace=("a",)) == 2
    assert await store.alist_namespaces() == [("ab",)]
    assert await memories.erase(ALICE) == 1
    assert await memories.erase(ALICE) == 0


async def test_many_at_once(alice: BaseStore) -> None:
    """Writes to one place at the same moment leave one memory, and writes to many leave all."""
    same = [alice.aput(NOTES, "same", {"n": number}) for number in range(20)]
    await asyncio.gather(*same, *(alice.aput(NOTES, str(number), {"n": number}) for number in range(20)))
    assert len(await alice.asearch((), limit=100)) == 21


async def test_opposite_orders_do_not_block_each_other(alice: BaseStore) -> None:
    """Batches that write, read and erase the same memories in different orders all come to their end."""
    names = [str(number) for number in range(30)]
    puts = [PutOp(NOTES, name, {"text": name}, ttl=5) for name in names]
    await alice.abatch(puts)
    work = [alice.abatch(order) for order in (puts, puts[::-1]) for _ in range(5)]
    work += [alice.abatch([GetOp(NOTES, name) for name in order]) for order in (names, names[::-1]) for _ in range(5)]
    work += [
        alice.abatch([PutOp(NOTES, name, None), PutOp(NOTES, other, {"x": 1})])
        for name, other in zip(names, names[::-1], strict=True)
    ]
    await asyncio.gather(*work)


@pytest.mark.postgres
async def test_words_are_found_whatever_their_ending(database: Database) -> None:
    """Questions as people ask them find the memory that answers, in English by its stems and elsewhere by its words."""
    store = MemoryRepository(database).of("acme", "alice")
    for key, text in REMEMBERED.items():
        await store.aput(NOTES, key, {"text": text})
    best = {question: (await keys(store, query=question, limit=2)) for question in QUESTIONS}
    assert [question for question, key in QUESTIONS.items() if key not in best[question]] == ["is there any allergy?"]
    assert sum(best[question][0] == key for question, key in QUESTIONS.items()) >= 14


REMEMBERED = {
    "dog": "The dog is called Rex.",
    "wife": "Married to Anna since 2011.",
    "coffee": "Prefers coffee without sugar.",
    "allergy": "Is allergic to peanuts and shellfish.",
    "job": "Works as a nurse at the city hospital in Bern.",
    "car": "Drives an old blue Volvo.",
    "style": "What matters to the user is that answers are short and in French.",
    "travel": "Is planning a trip to Japan in the spring with the children.",
    "children": "Has two children, Lea and Tom.",
    "sport": "Runs marathons; the last one was in Berlin.",
    "food": "Likes Thai food, dislikes olives.",
    "machine": "Owns the espresso machine Mainstay 300, bought in May.",
    "birthday": "Was born on 3 March 1980.",
    "hours": "Is what the user calls a night person: works late.",
    "invoice": "Wants invoices to be sent to the office and not to the house.",
    "cat": "Der Kater heisst Mauzi und mag keine Hunde.",
    "home": "Wohnt in Zürich an der Langstrasse.",
}
QUESTIONS = {
    "What is my dog's name?": "dog",
    "Which foods do I like to eat?": "food",
    "What am I allergic to?": "allergy",
    "is there any allergy?": "allergy",
    "Where do I work?": "job",
    "When is the user's birthday, when was I born?": "birthday",
    "which espresso machines do I own": "machine",
    "Who am I married to?": "wife",
    "In what language and how long should answers be?": "style",
    "What are the names of my children?": "children",
    "Where are the invoices to be sent?": "invoice",
    "How do I take my coffee?": "coffee",
    "What car do I drive?": "car",
    "where did I run my last marathon?": "sport",
    "is the user planning trips?": "travel",
    "Wie heisst mein Kater?": "cat",
    "Wo wohnt der Benutzer in Zürich?": "home",
}


@pytest.mark.postgres
async def test_the_largest_value_and_place_fit_postgres(database: Database) -> None:
    """What the limits allow is stored, whatever it consists of."""
    limits = MemoryLimits()
    store = MemoryRepository(database).of("acme", "alice")
    namespace = tuple("n" * 7 for _ in range(limits.max_namespace_bytes // 8))
    texts = [" ".join(str(number) for number in range(3_000)), "x" * 16_000, "ü " * 5_000]
    for key, text in zip(("k" * limits.max_key_bytes, "ü" * 256, "😀" * 128), texts, strict=True):
        await store.aput(namespace, key, {"text": text})
        item = await store.aget(namespace, key)
        assert item is not None
        assert item.value == {"text": text}
    assert len(await keys(store, namespace, query="2999 ü")) == 2
