"""Lists that come in pages: how long one may be, and where the next one begins."""

from collections.abc import Sequence
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Query

MAX_PAGE = 100

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class Listed(Protocol):
    @property
    def id(self) -> UUID: ...


def next_page(found: Sequence[Listed], limit: int) -> UUID | None:
    """Return what the next page is asked for with, None behind the last one."""
    return found[-1].id if len(found) == limit else None
