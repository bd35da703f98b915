"""Documents: cut into passages, found by their words, best first, within one tenant."""

import pytest

from services.errors import InvalidRequest
from services.storage.database import Database
from services.storage.documents import MAX_PASSAGE_CHARS, MAX_QUERY_CHARS, Document, DocumentRepository, passages

WARRANTY = Document(
    title="Warranty", path="handbook/warranty.md", text="The warranty of a Mainstay kettle lasts two years."
)
RETURNS = Document(title="Returns", path="handbook/returns.md", text="Kettles may be returned within thirty days.")
PARKING = Document(title="Parking", path="handbook/parking.md", text="Visitors park behind the house.")
HANDBOOK = [WARRANTY, RETURNS, PARKING]


@pytest.mark.postgres
async def test_a_question_finds_the_passage_that_answers_it(database: Database) -> None:
    """Words are matched whatever their ending, and the title counts more than the text."""
    documents = DocumentRepository(database)
    await documents.replace(HANDBOOK)
    found = await documents.search("warranties", 5)
    assert [(passage.title, passage.path, passage.text) for passage in found] == [
        ("Warranty", "handbook/warranty.md", WARRANTY.text)
    ]
    assert [passage.title for passage in await documents.search("kettle", 5)] != []
    assert [passage.title for passage in await documents.search("kettle or parking", 1)] == ["Parking"]


@pytest.mark.postgres
async def test_where_no_passage_has_every_word_some_are_enough(database: Database) -> None:
    """A whole sentence finds what shares most with it; where every word matches, partial matches stay away."""
    documents = DocumentRepository(database)
    await documents.replace(HANDBOOK)
    loose = await documents.search("For how many years does the guarantee or warranty cover my broken kettle?", 5)
    assert loose[0].title == "Warranty"
    assert [passage.rank for passage in loose] == sorted((passage.rank for passage in loose), reverse=True)
    strict = await documents.search("kettle returned", 5)
    assert [passage.title for passage in strict] == ["Returns"]


@pytest.mark.postgres
@pytest.mark.parametrize(
    "query", ["", "the of a", "'", "a:* & !", "\\", '"unclosed', "zebra", "' | 'x", "<->", "-kettle", "😀"]
)
async def test_no_query_is_an_error(database: Database, query: str) -> None:
    """Stop words, operators and quotes find something or nothing, but never fail."""
    documents = DocumentRepository(database)
    await documents.replace(HANDBOOK)
    assert len(await documents.search(query, 5)) <= 3


@pytest.mark.postgres
async def test_words_and_phrases_can_be_asked_for_or_excluded(database: Database) -> None:
    """Web search syntax: "phrases" and -excluded words."""
    documents = DocumentRepository(database)
    await documents.replace(HANDBOOK)
    assert [passage.title for passage in await documents.search("kettle -warranty", 5)] == ["Returns"]
    assert [passage.title for passage in await documents.search('"thirty days"', 5)] == ["Returns"]


@pytest.mark.postgres
async def test_replacing_leaves_nothing_of_what_was_there(database: Database) -> None:
    """New documents take the place of the old, the later of two with one path counts, and none at all is fine."""
    documents = DocumentRepository(database)
    await documents.replace(HANDBOOK)
    await documents.replace([PARKING, Document(title="New", path=PARKING.path, text="Kettles park in the yard.")])
    assert [passage.title for passage in await documents.search("kettle", 5)] == ["New"]
    await documents.replace([])
    assert await documents.search("kettle", 5) == []


@pytest.mark.postgres
async def test_each_tenant_has_documents_of_its_own(database: Database) -> None:
    """One tenant's replacing and searching does not touch another's documents."""
    ours, theirs = DocumentRepository(database), DocumentRepository(database, tenant_id="acme")
    await ours.replace([WARRANTY])
    await theirs.replace([RETURNS])
    assert [passage.title for passage in await ours.search("kettle", 5)] == ["Warranty"]
    assert [passage.title for passage in await theirs.search("kettle", 5)] == ["Returns"]


@pytest.mark.postgres
async def test_what_postgres_cannot_take_is_refused(database: Database) -> None:
    """A NUL character, in a document or a query, and an endless query are InvalidRequest."""
    documents = DocumentRepository(database)
    with pytest.raises(InvalidRequest):
        await documents.replace([Document(title="x", path="x", text="a\x00b")])
    for query in ("a\x00b", "a" * (MAX_QUERY_CHARS + 1)):
        with pytest.raises(InvalidRequest):
            await documents.search(query, 5)


def test_passages_keep_paragraphs_whole_and_lose_nothing() -> None:
    """Paragraphs are gathered up to the limit; only one that is longer by itself makes a longer passage."""
    short, long = "word " * 50, "word " * 400
    parts = [short.strip()] * 9 + [long.strip()] + [short.strip()]
    pieces = list(passages("\n\n".join(parts) + "\n\n\n\n  \n\n"))
    assert "\n\n".join(pieces).split("\n\n") == parts
    assert [len(piece) > MAX_PASSAGE_CHARS for piece in pieces].count(True) == 1
    assert len(pieces) == 5
    assert list(passages(" \n\n ")) == []
