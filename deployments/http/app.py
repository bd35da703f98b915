"""The ingress's HTTP application, made of plain objects: the same in a Ray Serve replica, under uvicorn and in a test."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from configs.http import HttpSettings
from deployments.http.access import Access, Authenticator
from deployments.http.admin import admin_router
from deployments.http.bodies import ClientLeft
from deployments.http.failures import (
    on_client_left,
    on_http_exception,
    on_mainstay_error,
    on_unexpected,
    on_validation_error,
)
from deployments.http.judgements import ScoresOfRuns, judgements_router
from deployments.http.memories import memories_router
from deployments.http.openapi import describe_protocols
from deployments.http.rate_limits import EXPOSED, RateLimits
from deployments.http.request_id import RequestId
from deployments.http.resources import models_router, runs_router, threads_router
from deployments.http.run_endpoint import RunEndpoint
from deployments.http.run_stream import RunStream
from deployments.http.score_means import CalibrationOf, Means, score_means_router
from deployments.http.security_headers import SecurityHeaders
from deployments.http.traces import traces_router
from deployments.http.usage import usage_router
from deployments.protocols import PROTOCOLS
from services.errors import MainstayError
from services.feedback import FeedbackStore
from services.limits.budgets import BudgetStore
from services.limits.limiter import Limiter
from services.memories import Memories
from services.runs.ports import RunStore, ThreadStore
from services.runs.service import RunService
from services.runs.traces import RunTraces
from services.security.audit import AuditTrail
from services.security.key_keeping import KeyKeeping
from services.security.refusals import Watch
from services.telemetry.tracing import NOT_TRACING, Tracer

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""What the replica needs, by a name that may be shown to anyone, and whether it is there."""

Breakers = Callable[[], Awaitable[Mapping[str, Mapping[str, int]]]]
"""The breakers: by provider or tool, how many agent replicas have it in which state. For people; it decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServices:
    """What the ingress holds. `graphs` maps a graph's name to its description; `clock` is Unix time in seconds.

    `check_webhook` raises InvalidRequest for an address that nothing may be sent to.
    """

    runs: RunService
    run_store: RunStore
    threads: ThreadStore
    memories: Memories
    feedback: FeedbackStore
    scores: ScoresOfRuns
    means: Means
    keys: KeyKeeping
    audit: AuditTrail
    authenticator: Authenticator
    limiter: Limiter
    budgets: BudgetStore
    currency: str
    watch: Watch
    graphs: Mapping[str, str]
    default_graph: str
    readiness: Readiness
    breakers: Breakers
    check_webhook: Callable[[str | None], None]
    traces: RunTraces
    calibration: CalibrationOf = lambda _: None
    tracer: Tracer = NOT_TRACING
    new_id: Callable[[], UUID] = uuid4
    clock: Callable[[], float] = time.time


def create_app(services: HttpServices, settings: HttpSettings) -> FastAPI:
    """Return the application.

    The runs' routes are plain ASGI beside FastAPI's; the stack below is in the order in which a request passes it.
    There are no documentation pages, which would load scripts from elsewhere: `GET /openapi.json` needs a key.
    """
    app = FastAPI(
        title="Mainstay",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[
            *_run_routes(services, settings),
            Route("/runs/{run_id}/stream", RunStream(services.runs, settings), methods=["GET"], name="run_stream"),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", _readyz(services.readiness, services.breakers), methods=["GET"]),
        ],
        middleware=[
            Middleware(RequestId, new_id=services.new_id),
            Middleware(SecurityHeaders),
            *_cors(settings),
            Middleware(Access, authenticator=services.authenticator, watch=services.watch),
            Middleware(
                RateLimits, limiter=services.limiter, run_paths=[protocol.path for protocol in PROTOCOLS.values()]
            ),
        ],
        exception_handlers={
            MainstayError: on_mainstay_error,
            HTTPException: on_http_exception,
            RequestValidationError: on_validation_error,
            ClientLeft: on_client_left,
            Exception: on_unexpected,
        },
    )
    app.include_router(models_router(services.graphs, created=int(services.clock())))
    app.include_router(threads_router(services.threads))
    app.include_router(memories_router(services.memories))
    app.include_router(runs_router(services.runs, services.run_store))
    app.include_router(traces_router(services.traces))
    app.include_router(
        judgements_router(
            services.feedback, services.scores, services.calibration, max_body_bytes=settings.max_body_bytes
        )
    )
    app.include_router(
        usage_router(
            services.budgets, lambda tenant_id: services.limiter.plans.of(tenant_id).budgets, services.currency
        )
    )
    app.include_router(score_means_router(services.means, services.calibration, services.clock))
    app.include_router(admin_router(services.keys, services.audit, max_body_bytes=settings.max_body_bytes))
    describe_protocols(app, PROTOCOLS.values())
    return app


def _run_routes(services: HttpServices, settings: HttpSettings) -> list[Route]:
    return [
        Route(
            protocol.path,
            RunEndpoint(
                protocol=protocol,
                runs=services.runs,
                default_graph=services.default_graph,
                settings=settings,
                check_webhook=services.check_webhook,
                clock=services.clock,
                tracer=services.tracer,
            ),
            methods=["POST"],
            name=name,
        )
        for name, protocol in PROTOCOLS.items()
    ]


def _cors(settings: HttpSettings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "idempotency-key",
                "last-event-id",
                "traceparent",
                "x-api-key",
                "x-request-id",
                "x-thread-id",
            ],
            expose_headers=["content-location", "retry-after", "x-request-id", "x-run-id", "x-thread-id", *EXPOSED],
        )
    ]


async def healthz(request: Request) -> Response:
    """The process answers. It depends on nothing, so that a dead database does not get replicas killed."""
    return Response(b'{"status":"ok"}', media_type="application/json")


def _readyz(readiness: Readiness, breakers: Breakers) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        checks, states = await asyncio.gather(readiness(), breakers())
        ready = all(checks.values())
        words = {name: "ok" if fine else "unavailable" for name, fine in checks.items()}
        body = {"status": "ok" if ready else "unavailable", "checks": words, "breakers": states}
        return Response(orjson.dumps(body), status_code=200 if ready else 503, media_type="application/json")

    return readyz
