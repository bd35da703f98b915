"""Who asks, for FastAPI's routes: each names by the type of its parameter what the key must permit."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from deployments.http.access import permitted
from services.security.permissions import Permission
from services.types import Principal


def _with(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    async def asking(request: Request) -> Principal:
        return permitted(request.scope, permission)

    return asking


Reader = Annotated[Principal, Depends(_with(Permission.RUNS_READ))]
Runner = Annotated[Principal, Depends(_with(Permission.RUNS_WRITE))]
Eraser = Annotated[Principal, Depends(_with(Permission.DATA_ERASE))]
Auditor = Annotated[Principal, Depends(_with(Permission.AUDIT_READ))]
Bookkeeper = Annotated[Principal, Depends(_with(Permission.USAGE_READ))]
Quality = Annotated[Principal, Depends(_with(Permission.SCORES_READ))]
KeyKeeper = Annotated[Principal, Depends(_with(Permission.KEYS_MANAGE))]
