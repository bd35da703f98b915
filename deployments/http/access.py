"""Who may ask what: every path needs an API key unless it is listed here, so a route that is forgotten is closed."""

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.failures import failure_response
from services.errors import MainstayError, PermissionDenied, Unauthenticated
from services.security.permissions import Permission
from services.types import Principal

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
MAX_KEY_CHARS = 512

_PRINCIPAL = "mainstay.principal"
_HOW = "Send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`."


class Authenticator(Protocol):
    async def authenticate(self, presented: str) -> Principal:
        """Return whose key it is. Raises Unauthenticated, and StoreUnavailable when that cannot be found out."""
        ...


def asking(scope: Scope) -> Principal | None:
    """Return who is asking, None on an open path: for what is done to whoever asks, not for what they may do."""
    principal = scope.get(_PRINCIPAL)
    return principal if isinstance(principal, Principal) else None


def permitted(scope: Scope, permission: Permission) -> Principal:
    """Return who is asking: a route learns it only by saying what for.

    Raises PermissionDenied for a key that may not be used for that, and Unauthenticated on an open path, where nobody was
    asked.
    """
    principal = asking(scope)
    if principal is None:
        raise Unauthenticated(f"This needs an API key. {_HOW}")
    if permission not in principal.permissions:
        raise PermissionDenied(f"The API key may not be used for this: it lacks the permission {permission}.")
    return principal


def presented_key(headers: Headers) -> str:
    """Return the key in the headers, the only place where it is looked for: URLs end up in logs.

    Raises Unauthenticated when there is none, or more than one.
    """
    keys = []
    for value in headers.getlist("authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(f"The Authorization scheme must be Bearer. {_HOW}", param="authorization")
        keys.append(key.strip())
    keys.extend(headers.getlist("x-api-key"))
    if not keys or not keys[0]:
        raise Unauthenticated(f"There is no API key. {_HOW}", param="authorization")
    if len(set(keys)) > 1:
        raise Unauthenticated("There are two API keys. Send one of them.", param="authorization")
    if len(keys[0]) > MAX_KEY_CHARS:
        raise Unauthenticated("The API key is too long to be one.", param="authorization")
    return keys[0]


class Access:
    """Lets a request pass once its key is known; refuses whatever is not HTTP."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) not in OPEN_PATHS:
            try:
                scope[_PRINCIPAL] = await self._authenticator.authenticate(presented_key(Headers(scope=scope)))
            except MainstayError as error:
                await failure_response(error.to_failure())(scope, receive, send)
                return
        await self._app(scope, receive, send)
