"""Rate limits on every route that needs a key, and the headers that say how much is left.

Headers are those of draft-ietf-httpapi-ratelimit-headers-10 and, for clients made for OpenAI, `x-ratelimit-*`. They tell what
this replica knows, which is what the shared store last said: good advice, not a promise.
"""

from collections.abc import Collection, Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.access import asking
from deployments.http.failures import failure_response
from services.errors import MainstayError
from services.limits.limiter import Limiter
from services.limits.plans import Limit, RouteClass
from services.limits.quota import Reading
from services.types import Principal

Readings = Sequence[tuple[Limit, Reading]]
EXPOSED = (
    "ratelimit",
    "ratelimit-policy",
    *(f"x-ratelimit-{part}-{what}" for what in ("requests", "tokens") for part in ("limit", "remaining", "reset")),
)
"""The headers, for browsers that have to be told which ones a page may read."""


_UNDERSTOOD = "mainstay.understood"


def understood(scope: Scope) -> None:
    """Say that a request is one for a run, which is charged with it."""
    scope[_UNDERSTOOD] = True


class RateLimits:
    """Charges every request of a known caller. One that starts a run is charged together with it, once its body is understood;
    one that came to nothing before that is charged all the same, afterwards.
    """

    def __init__(self, app: ASGIApp, *, limiter: Limiter, run_paths: Collection[str]) -> None:
        self._app = app
        self._limiter = limiter
        self._run_paths = frozenset(run_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = asking(scope)
        if principal is None:
            await self._app(scope, receive, send)
            return
        route = self._class_of(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers(principal, route)]
            await send(message)

        try:
            self._limiter.check_flood(principal, route)
            if route is not RouteClass.RUNS:
                await self._limiter.take_request(principal, route)
        except MainstayError as error:
            await failure_response(error.to_failure())(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if route is RouteClass.RUNS and not scope.get(_UNDERSTOOD):
                await self._limiter.charge_request(principal, route)

    def _class_of(self, scope: Scope) -> RouteClass:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith("/admin/"):
            return RouteClass.ADMIN
        if scope["method"] in ("GET", "HEAD"):
            return RouteClass.READS
        return RouteClass.RUNS if path in self._run_paths else RouteClass.WRITES

    def _headers(self, principal: Principal, route: RouteClass) -> list[tuple[bytes, bytes]]:
        readings = self._limiter.readings(principal, route)
        headers = {**_standard(readings), **_openai(readings)}
        return [(name.encode(), value.encode()) for name, value in headers.items()]


def _standard(readings: Readings) -> Mapping[str, str]:
    """Return the draft's two fields: lists of items, each named by whose and what it is."""
    if not readings:
        return {}
    quotas = [(f'"{limit.scope}-{limit.what}"', limit.charge.quota, reading) for limit, reading in readings]
    return {
        "ratelimit-policy": ", ".join(f"{name};q={quota.limit};w={quota.window_s:.0f}" for name, quota, _ in quotas),
        "ratelimit": ", ".join(f"{name};r={reading.remaining};t={reading.taken_s:.0f}" for name, _, reading in quotas),
    }


def _openai(readings: Readings) -> Mapping[str, str]:
    """Return OpenAI's fields: of requests and of tokens the quota that is nearest to its end, when it will be whole again."""
    headers = {}
    for what in ("requests", "tokens"):
        of_kind = [(limit, reading) for limit, reading in readings if limit.what == what]
        if of_kind:
            limit, reading = min(of_kind, key=lambda pair: pair[1].remaining)
            headers[f"x-ratelimit-limit-{what}"] = str(limit.charge.quota.limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(reading.remaining)
            headers[f"x-ratelimit-reset-{what}"] = f"{reading.taken_s:.3f}s"
    return headers
