"""What tools may stand on. A factory picks from it what its tool needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from graphs.memories import UserStores
from services.security.pages import Pages


class Passage(Protocol):
    """A piece of a document that matches a query; a higher `rank` matches better."""

    @property
    def title(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def rank(self) -> float: ...


class DocumentSearch(Protocol):
    """The documents that answers are grounded in: Postgres full text in production."""

    async def search(self, query: str, limit: int) -> Sequence[Passage]:
        """Return at most `limit` passages, best first. Raises StoreUnavailable."""
        ...


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResources:
    """`now` returns the current time with a time zone. Tools that need `memories` or `pages` cannot be made without them."""

    documents: DocumentSearch
    memories: UserStores | None = None
    pages: Pages | None = None
    now: Callable[[], datetime] = utc_now
