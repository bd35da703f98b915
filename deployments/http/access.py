"""Who may ask what: every path needs an API key or a token unless it is listed here, so a forgotten route is closed."""

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.failures import failure_response
from services.errors import MainstayError, PermissionDenied
from services.security.permissions import Permission
from services.security.refusals import Reason, Watch, refusal
from services.security.tokens import MAX_TOKEN_CHARS
from services.types import Principal

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

_PRINCIPAL = "mainstay.principal"
_WATCH = "mainstay.watch"


class Authenticator(Protocol):
    async def authenticate(self, presented: str) -> Principal:
        """Return whose key or token it is. Raises Unauthenticated, of which the reason was reported, and StoreUnavailable or
        IdentityUnavailable when that cannot be found out."""
        ...


def asking(scope: Scope) -> Principal | None:
    """Return who is asking, None on an open path: for what is done to whoever asks, not for what they may do."""
    principal = scope.get(_PRINCIPAL)
    return principal if isinstance(principal, Principal) else None


def permitted(scope: Scope, permission: Permission) -> Principal:
    """Return who is asking: a route learns it only by saying what for.

    Raises PermissionDenied for somebody who may not do that, of which the watch is told, and Unauthenticated on an open path,
    where nobody was asked.
    """
    principal = asking(scope)
    if principal is None:
        raise refusal()
    if permission not in principal.permissions:
        watch: Watch = scope[_WATCH]
        watch.denied(principal, permission)
        raise PermissionDenied(f"This asks for a permission that your key or token lacks: {permission}.")
    return principal


def presented(headers: Headers) -> str | Reason:
    """Return the key or token in the headers, the only place where it is looked for: URLs end up in logs.

    Without one, or with two that differ, return what is wrong.
    """
    found = []
    for value in headers.getlist("authorization"):
        scheme, _, credential = value.partition(" ")
        if scheme.lower() != "bearer":
            return Reason.OTHER_SCHEME
        found.append(credential.strip())
    found.extend(headers.getlist("x-api-key"))
    if not found or not found[0]:
        return Reason.ABSENT
    if len(set(found)) > 1:
        return Reason.SEVERAL
    return found[0] if len(found[0]) <= MAX_TOKEN_CHARS else Reason.TOO_LONG


class Access:
    """Lets a request pass once it is known whose it is; refuses whatever is not HTTP."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, watch: Watch) -> None:
        self._app = app
        self._authenticator = authenticator
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) not in OPEN_PATHS:
            try:
                scope[_PRINCIPAL] = await self._authenticate(Headers(scope=scope))
                scope[_WATCH] = self._watch
            except MainstayError as error:
                await failure_response(error.to_failure())(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _authenticate(self, headers: Headers) -> Principal:
        credential = presented(headers)
        if isinstance(credential, Reason):
            self._watch.refused(credential)
            raise refusal()
        return await self._authenticator.authenticate(credential)
