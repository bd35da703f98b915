"""Every route of the application, and the permission that it asks for."""

from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import Route

from services.security.permissions import Permission

READ, WRITE, ERASE = Permission.RUNS_READ, Permission.RUNS_WRITE, Permission.DATA_ERASE
ASKED = {
    "POST /chat/stream": WRITE,
    "POST /v1/chat/completions": WRITE,
    "POST /runs": WRITE,
    "POST /runs/wait": WRITE,
    "GET /runs/{run_id}": READ,
    "GET /runs/{run_id}/stream": READ,
    "GET /runs/{run_id}/wait": READ,
    "POST /runs/{run_id}/cancel": WRITE,
    "POST /runs/{run_id}/feedback": WRITE,
    "GET /runs/{run_id}/feedback": READ,
    "GET /runs/{run_id}/scores": READ,
    "GET /v1/runs/{run_id}/trace": READ,
    "GET /threads": READ,
    "GET /threads/{thread_id}": READ,
    "GET /threads/{thread_id}/messages": READ,
    "DELETE /threads/{thread_id}": ERASE,
    "GET /memories": READ,
    "DELETE /memories": ERASE,
    "DELETE /memories/{memory_id}": ERASE,
    "GET /usage": READ,
    "GET /v1/models": READ,
    "GET /v1/models/{model}": READ,
    "POST /admin/keys": Permission.KEYS_MANAGE,
    "GET /admin/keys": Permission.KEYS_MANAGE,
    "POST /admin/keys/{key_id}/rotate": Permission.KEYS_MANAGE,
    "DELETE /admin/keys/{key_id}": Permission.KEYS_MANAGE,
    "GET /admin/audit": Permission.AUDIT_READ,
    "GET /admin/usage": Permission.USAGE_READ,
    "GET /admin/scores": Permission.SCORES_READ,
}
NEEDS_A_KEY_ONLY = {"GET /openapi.json"}


def routes(router: Any) -> Iterator[str]:
    """Yield every method and path that is answered to; what is no route and no router fails, for it could be anything."""
    for route in router.routes:
        if isinstance(route, APIRoute | Route):
            yield from (f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"})
        else:
            yield from routes(route.original_router)
