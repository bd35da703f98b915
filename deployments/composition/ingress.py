"""What an ingress replica stands on."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from uuid_utils.compat import uuid7

from configs.settings import Settings
from deployments import garbage
from deployments.composition.calibrations import published_calibrations
from deployments.composition.database import open_database
from deployments.composition.identity import open_identity
from deployments.composition.limits import LivePlans, open_quota_stores, plans_of
from deployments.composition.load import load_monitor
from deployments.composition.memories import open_memories
from deployments.composition.telemetry import open_logs, open_tracing
from deployments.composition.webhooks import address_policy
from deployments.http.app import HttpServices, create_app
from deployments.ingress import IngressParts
from deployments.metrics import open_meter
from deployments.remote import Handle, RemoteAgent, RemoteBreakers, RemoteGuardrail
from deployments.shedding import Shedding
from services.errors import StoreUnavailable
from services.guard_batches import BatchingGuard
from services.limits.admission import BudgetGate, RunAdmission
from services.limits.limiter import Limiter, LimiterPolicy
from services.runs.following import FollowPolicy, LogFollower
from services.runs.multiplex import Demultiplexer
from services.runs.service import RunService
from services.runs.traces import RunTraces
from services.runs.webhooks import check_url
from services.security.addresses import AddressPolicy
from services.security.key_keeping import KeyKeeping
from services.storage.api_keys import ApiKeyRepository
from services.storage.audit import AuditRepository
from services.storage.database import Database
from services.storage.feedback import FeedbackRepository
from services.storage.run_log import RunLogRepository
from services.storage.runs import RunRepository
from services.storage.scores import ScoreRepository
from services.storage.threads import ThreadRepository
from services.storage.traces import TraceRepository
from services.telemetry.guard import MeasuredGuard


async def open_ingress(settings: Settings, agent: Handle, guardrail: Handle) -> IngressParts:
    open_logs(settings)
    database = await open_database(settings, "ingress")
    run_store = RunRepository(database)
    meter = open_meter()
    tracing = open_tracing(settings, "ingress", database, meter)
    log = RunLogRepository(database)
    shedding = Shedding(load_monitor(settings), meter)
    shedding.start()
    quota_stores = open_quota_stores(settings, "ingress")
    limiter = Limiter(
        store=quota_stores.store,
        plans=plans_of(settings.limits),
        policy=LimiterPolicy(
            share_when_away=settings.limits.share_when_away,
            expected_output_tokens=settings.limits.expected_output_tokens,
        ),
        clock=time.monotonic,
        meter=meter,
    )
    runs = RunService(
        agent=Demultiplexer(RemoteAgent(agent, meter), reader=uuid7()),
        runs=run_store,
        log=LogFollower(log, FollowPolicy(), clock=time.monotonic),
        guard=MeasuredGuard(BatchingGuard(RemoteGuardrail(guardrail), timeout_s=settings.guardrail.timeout_s), meter),
        graphs=settings.graphs,
        max_run_s=settings.runs.max_run_s,
        new_id=uuid7,
        admission=RunAdmission(limiter, BudgetGate(quota_stores.budgets, time.monotonic, meter)),
        admit=shedding.admit,
    )
    key_store, pepper = ApiKeyRepository(database), settings.security.key_pepper.resolve(os.environ)
    trail, scores = AuditRepository(database), ScoreRepository(database)
    identity = open_identity(settings.security, key_store, trail, meter)
    services = HttpServices(
        runs=runs,
        run_store=run_store,
        threads=ThreadRepository(database),
        memories=open_memories(settings.memory, database),
        feedback=FeedbackRepository(database),
        scores=scores,
        means=scores,
        calibration=published_calibrations(settings.evaluator.calibrations),
        limiter=limiter,
        budgets=quota_stores.budgets,
        currency=settings.prices.currency,
        keys=KeyKeeping(key_store, pepper, identity.watch, new_id=uuid7, now=partial(datetime.now, UTC)),
        audit=trail,
        authenticator=identity.authenticator,
        watch=identity.watch,
        graphs={name: graph.description for name, graph in settings.graphs.items()},
        default_graph=settings.default_graph,
        readiness=partial(_readiness, database),
        breakers=RemoteBreakers(agent),
        check_webhook=partial(_check_webhook, address_policy(settings)),
        traces=RunTraces(runs=run_store, log=log, traces=TraceRepository(database), scores=scores.of_run),
        tracer=tracing.tracer,
        new_id=uuid7,
    )
    garbage.keep()
    return IngressParts(
        app=create_app(services, settings.http),
        runs=runs,
        identity=identity,
        limits=LivePlans(settings.limits, limiter),
        quota_stores=quota_stores,
        shedding=shedding,
        meter=meter,
        tracing=tracing,
        database=database,
    )


def _check_webhook(policy: AddressPolicy | None, url: str | None) -> None:
    if url is not None:
        check_url(url, policy)


async def _readiness(database: Database) -> Mapping[str, bool]:
    try:
        await database.ping()
    except StoreUnavailable:
        return {"database": False}
    return {"database": True}
