"""What every client protocol's route does: read the body, understand it, run the turn, answer in the protocol's form."""

from collections.abc import Callable
from functools import partial

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from configs.http import HttpSettings
from deployments.http.access import permitted
from deployments.http.bodies import read_object
from deployments.http.idempotency import idempotency_key, with_key
from deployments.http.rate_limits import understood
from deployments.http.streams import EventStream, WholeAnswer, run_headers
from deployments.http.traced_requests import TracedRequests
from deployments.protocols.types import ClientProtocol, Queued, Rules, Streamed
from services.runs.service import RunService
from services.security.permissions import Permission
from services.telemetry.spans import Trace
from services.telemetry.tracing import NOT_TRACING, Tracer


class RunEndpoint:
    """The route of one protocol, as a plain ASGI application: per token, it is only the encoder and the server's `send`."""

    def __init__(
        self,
        *,
        protocol: ClientProtocol,
        runs: RunService,
        default_graph: str,
        settings: HttpSettings,
        check_webhook: Callable[[str | None], None],
        clock: Callable[[], float],
        tracer: Tracer = NOT_TRACING,
    ) -> None:
        self._traced = TracedRequests(tracer, protocol.path)
        self._protocol = protocol
        self._runs = runs
        self._settings = settings
        self._clock = clock
        self._rules = Rules(
            default_graph=default_graph,
            max_messages=settings.max_messages,
            max_message_chars=settings.max_message_chars,
            max_run_s=runs.max_run_s,
            check_webhook=check_webhook,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._traced.request(scope) as trace:
            await self._answer(scope, receive, send, trace)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trace: Trace) -> None:
        principal = permitted(scope, Permission.RUNS_WRITE)
        headers = Headers(scope=scope)
        body = await read_object(headers, receive, max_bytes=self._settings.max_body_bytes)
        turn = self._protocol.parse(body, headers, self._rules)
        request = with_key(turn.request, idempotency_key(headers, self._protocol.path, body, turn.request))
        understood(scope)
        if isinstance(turn.reply, Queued):
            run = await self._runs.submit(principal, request, trace)
            response = Response(
                turn.reply.render(run), self._protocol.status, run_headers(run), media_type="application/json"
            )
            await response(scope, receive, send)
            return
        start = partial(self._runs.start, principal, request, trace)
        created = int(self._clock())
        if isinstance(turn.reply, Streamed):
            stream = EventStream(
                start=start,
                reply=turn.reply,
                created=created,
                heartbeat_s=self._settings.heartbeat_s,
                write_timeout_s=self._settings.write_timeout_s,
            )
            await stream(scope, receive, send)
        else:
            await WholeAnswer(start=start, reply=turn.reply, created=created)(scope, receive, send)
