"""Documents that agents look things up in: cut into passages, found by Postgres full text search."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert

from services.errors import InvalidRequest
from services.storage.database import Database
from services.storage.encoding import refuse_unstorable
from services.storage.tables import documents

SHARED = "shared"
MAX_PASSAGE_CHARS = 1_200
MAX_QUERY_CHARS = 1_000

# `$2` is read as a person types it: words, "phrases", or, -not. Only where that finds nothing is one word enough.
_SEARCH = """
WITH asked AS (SELECT websearch_to_tsquery('english', $2) AS wholly),
loose AS (
    SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS partly FROM unnest(to_tsvector('english', $2))
),
strict_hits AS (
    SELECT title, path, text, position, ts_rank(search, wholly) AS rank
    FROM documents, asked WHERE tenant_id = $1 AND search @@ wholly
),
loose_hits AS (
    SELECT title, path, text, position, ts_rank(search, partly) AS rank
    FROM documents, loose WHERE tenant_id = $1 AND search @@ partly AND NOT EXISTS (SELECT FROM strict_hits)
)
SELECT title, path, text, rank FROM (SELECT * FROM strict_hits UNION ALL SELECT * FROM loose_hits) AS hits
ORDER BY rank DESC, path, position
LIMIT $3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text to be found. `path` names it within its tenant, such as the file it came from."""

    title: str
    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document, of about 1,200 characters at most; a higher `rank` matches better."""

    title: str
    path: str
    text: str
    rank: float


class DocumentRepository:
    """The documents of one tenant, by default those that all share. Every method raises StoreUnavailable."""

    def __init__(self, database: Database, *, tenant_id: str = SHARED) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def replace(self, replacing: Sequence[Document]) -> None:
        """Make these the tenant's only documents, in one transaction. Of two with one path the later counts.

        Raises InvalidRequest for text that Postgres cannot hold.
        """
        refuse_unstorable(text for document in replacing for text in (document.title, document.path, document.text))
        rows = [
            {"tenant_id": self._tenant_id, "path": path, "position": position, "title": document.title, "text": text}
            for path, document in {document.path: document for document in replacing}.items()
            for position, text in enumerate(passages(document.text))
        ]
        async with self._database.transaction() as connection:
            await connection.execute(delete(documents).where(documents.c.tenant_id == self._tenant_id))
            if rows:
                await connection.execute(insert(documents), rows)

    async def search(self, query: str, limit: int) -> list[Passage]:
        """Return at most `limit` passages, best first: those that match the whole query, else those that match part of it.

        The query may hold "phrases", `or` and `-excluded` words. Raises InvalidRequest when it is over 1,000 characters or
        holds text that Postgres cannot.
        """
        if len(query) > MAX_QUERY_CHARS:
            raise InvalidRequest(f"A search may have at most {MAX_QUERY_CHARS} characters.", param="query")
        refuse_unstorable([query], param="query")
        async with self._database.raw() as connection:
            rows = await connection.fetch(_SEARCH, self._tenant_id, query, limit)
        return [Passage(title=row["title"], path=row["path"], text=row["text"], rank=row["rank"]) for row in rows]


def passages(text: str) -> Iterator[str]:
    """Cut a text between paragraphs into pieces of at most 1,200 characters, longer ones only for a longer paragraph."""
    gathered = ""
    for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
        if gathered and len(gathered) + len(paragraph) + 2 > MAX_PASSAGE_CHARS:
            yield gathered
            gathered = ""
        gathered = f"{gathered}\n\n{paragraph}" if gathered else paragraph
    if gathered:
        yield gathered
