"""What an agent replica stands on."""

import asyncio
import os
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from uuid_utils.compat import uuid7

from configs.runs import RunSettings
from configs.settings import Settings
from deployments import garbage
from deployments.agent import AgentParts
from deployments.budget_report import BudgetReport
from deployments.chore_reports import MeasuredPruning, MeasuredSweep
from deployments.composition.database import open_database
from deployments.composition.graphs import build_graphs, prompt_roles
from deployments.composition.limits import LivePlans, budget_of, open_quota_stores, plans_of, price_list
from deployments.composition.load import load_monitor
from deployments.composition.memories import open_embeddings, open_memories
from deployments.composition.output import OUTPUT_JUDGE, LiveSemantics, judge_of, output_screen
from deployments.composition.pages import open_pages
from deployments.composition.retention import retention_policy
from deployments.composition.routes import configured_breaker, open_route
from deployments.composition.sampling import LiveSampling
from deployments.composition.telemetry import open_logs, open_tracing
from deployments.composition.webhooks import open_webhooks
from deployments.knobs import LiveBreakers, LivePrompts
from deployments.metrics import open_meter
from deployments.remote import Handle, RemoteGuardrail, RemoteSamples
from deployments.reporter import RunReporter
from deployments.sampling import RunSampling
from deployments.shedding import Shedding
from deployments.tool_report import ToolReport
from graphs.build import tool_breakers
from graphs.saver import Checkpointing
from graphs.tools.care import TOOL_BREAKER, ToolCare
from graphs.tools.resources import ToolResources
from graphs.tools.success import SuccessRates
from services.guard_batches import BatchingGuard
from services.limits.bills import Payer, payer_of
from services.limits.budgets import Budgets
from services.limits.purse import Purse
from services.limits.settling import RunSettling
from services.limits.treasury import Treasury
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.resilience.breaker import Breaker
from services.runs.engine import EngineLimits, RunEngine
from services.runs.lease_keeper import LeaseKeeper, LeasePolicy
from services.runs.patient_effects import PatientEffects
from services.runs.prune import prune_forever
from services.runs.run_lines import RunLines
from services.runs.sweep import sweep_forever
from services.runs.warm_up import warm_up
from services.storage.checkpointer import ThreadReader
from services.storage.database import Database
from services.storage.documents import DocumentRepository
from services.storage.effects import EffectRepository
from services.storage.leases import LeaseRepository
from services.storage.owned_runs import OwnedRunRepository
from services.storage.retention import Retention
from services.storage.run_checkpoints import RunCheckpointRepository
from services.storage.runs import RunRepository
from services.storage.wake_up import listen_forever
from services.telemetry.breakers import BreakerReport
from services.telemetry.guard import MeasuredGuard
from services.telemetry.metrics import EVENT_LOG_LAG, MODEL_LIMIT, Meter

SWEEP_EVERY_S = 60.0
SWEEP_MARGIN_S = 60.0
"""A run is taken for lost when it is still live this long after it must have ended."""


async def open_agent(settings: Settings, guardrail: Handle, evaluator: Handle) -> AgentParts:
    open_logs(settings)
    database = await open_database(settings, "agent")
    meter = open_meter()
    tracing = open_tracing(settings, "agent", database, meter)
    report = BreakerReport(meter)
    told = settings.tracing.tell_providers
    routes = {
        provider.name: open_route(provider, report, told_of_traces=provider.name in told)
        for provider in settings.providers
    }
    tools, tool_report = tool_breakers(listeners=(report,)), ToolReport(meter, SuccessRates())
    breakers = _live_breakers(settings, routes, tools)
    shedding = Shedding(load_monitor(settings), meter)
    shedding.start()
    quota_stores = open_quota_stores(settings, "agent")
    settling = RunSettling(
        store=quota_stores.store,
        plans=plans_of(settings.limits),
        expected_output_tokens=settings.limits.expected_output_tokens,
    )
    treasury = Treasury(
        store=quota_stores.budgets,
        prices=price_list(settings.prices),
        observer=BudgetReport(meter),
        new_id=uuid7,
        currency=settings.prices.currency,
        meter=meter,
    )
    sampling = LiveSampling(settings, "agent")
    prompts = LivePrompts({name: graph.prompts for name, graph in settings.graphs.items()}, prompt_roles(settings))
    guard = MeasuredGuard(BatchingGuard(RemoteGuardrail(guardrail), timeout_s=settings.guardrail.timeout_s), meter)
    embeddings = await open_embeddings(settings.memory, database)
    memories = open_memories(settings.memory, database, embeddings)
    pages = open_pages(settings)
    resources = ToolResources(documents=DocumentRepository(database), memories=memories, pages=pages)
    ledger = PatientEffects(EffectRepository(database), tries=10, retry_s=0.5, sleep=asyncio.sleep)
    care = ToolCare(breakers=tools, observer=tool_report, ledger=ledger)
    checkpointing = Checkpointing(saver=ThreadReader(database), store=RunCheckpointRepository(database))
    graphs = build_graphs(settings, resources, care, checkpointing)
    gateways = _gateways(settings, routes, meter)
    semantics = _semantics(settings, routes, treasury, meter)
    lease = uuid7()
    engine = RunEngine(
        runs=OwnedRunRepository(database),
        lease=lease,
        graphs=graphs,
        gateways=gateways,
        guard=guard,
        observers=(
            RunReporter(meter),
            RunSampling(
                RemoteSamples(evaluator, meter), meter, shedding, sampler=sampling.sampler, strata=sampling.strata
            ),
            settling,
            treasury,
            RunLines(),
        ),
        purses=lambda claim: treasury.purse(payer_of(claim, settling.plans.of(claim.run.tenant_id).budgets)),
        prompts=prompts,
        prompt_version=prompts.version,
        limits=_limits(settings.runs),
        screen=output_screen(settings.guardrail.output, meter, semantics),
        tracer=tracing.tracer,
    )
    keeper = LeaseKeeper(
        leases=LeaseRepository(database),
        lease=lease,
        runs=engine,
        policy=LeasePolicy(background_slots=settings.runs.background_slots),
    )
    await keeper.start()
    sweep = MeasuredSweep(RunRepository(database), meter)
    chores = [
        *_chores(settings, database, keeper, sweep, meter),
        prune_forever(MeasuredPruning(quota_stores, meter), every_s=settings.retention.every_s),
    ]
    settlers = (
        settling.settle_forever(),
        settling.renew_forever(lambda: engine.at_work),
        treasury.settle_forever(),
    )
    if settings.runs.warm_up_s:
        name = settings.default_graph
        chores.append(
            warm_up(name, graphs[name], gateways[name], guard, prompts(name), within_s=settings.runs.warm_up_s)
        )
    garbage.keep()
    return AgentParts(
        engine=engine,
        keeper=keeper,
        chores=tuple(map(asyncio.create_task, chores)),
        settlers=tuple(map(asyncio.create_task, settlers)),
        webhooks=open_webhooks(settings, database, meter),
        routes=tuple(routes.values()),
        embeddings=embeddings,
        pages=pages,
        database=database,
        prompts=prompts,
        breakers=breakers,
        limits=LivePlans(settings.limits, settling),
        semantics=semantics,
        quota_stores=quota_stores,
        settling=settling,
        treasury=treasury,
        shedding=shedding,
        meter=meter,
        gauges=(
            partial(breakers.show, report),
            tool_report.show,
            sweep.show,
            partial(_show, engine, routes.values(), meter),
        ),
        sampling=sampling,
        tracing=tracing,
        drain_s=settings.runs.max_run_s,
    )


def _chores(
    settings: Settings, database: Database, keeper: LeaseKeeper, sweep: MeasuredSweep, meter: Meter
) -> list[Coroutine[Any, Any, None]]:
    """What goes on beside the runs, in every replica: each of these is done once, whoever does it."""
    retention = Retention(database, retention_policy(settings))
    return [
        listen_forever(settings.database.url.resolve(os.environ), keeper.wake, application_name="mainstay-agent-wake"),
        sweep_forever(
            sweep,
            overdue_s=SWEEP_MARGIN_S,
            queue_ttl_s=settings.runs.queue_ttl_s,
            every_s=SWEEP_EVERY_S,
        ),
        prune_forever(MeasuredPruning(retention, meter), every_s=settings.retention.every_s),
    ]


def _semantics(settings: Settings, routes: Mapping[str, Route], treasury: Treasury, meter: Meter) -> LiveSemantics:
    """Return the semantic tier, whose judge the operator pays for: its calls are nobody's turn."""
    semantic = settings.guardrail.output.semantic
    route = routes[semantic.provider or settings.providers[0].name]
    gateway = Gateway([route], meter=meter, graph=OUTPUT_JUDGE)
    budgets = Budgets(user=budget_of(semantic.budget))

    def purse() -> Purse:
        return treasury.purse(Payer(tenant_id="", user_id=OUTPUT_JUDGE, run_id=uuid7(), attempt=1, budgets=budgets))

    return LiveSemantics(semantic, judge_of(gateway, purse), meter)


def _gateways(settings: Settings, routes: Mapping[str, Route], meter: Meter) -> Mapping[str, Gateway]:
    """Return each graph's way to its providers, which several graphs share."""
    return {
        name: Gateway([routes[provider] for provider in graph.providers or routes], meter=meter, graph=name)
        for name, graph in settings.graphs.items()
    }


def _live_breakers(settings: Settings, routes: Mapping[str, Route], tools: Mapping[str, Breaker]) -> LiveBreakers:
    providers = {
        provider.name: (routes[provider.name].breaker, configured_breaker(provider)) for provider in settings.providers
    }
    return LiveBreakers({**providers, **{breaker.name: (breaker, TOOL_BREAKER) for breaker in tools.values()}})


def _show(engine: RunEngine, routes: Iterable[Route], meter: Meter) -> None:
    """Measure what has no event of its own."""
    meter.record(EVENT_LOG_LAG, engine.log_lag_s, {})
    for route in routes:
        meter.record(MODEL_LIMIT, route.limit.limit, {"provider": route.name})


def _limits(runs: RunSettings) -> EngineLimits:
    return EngineLimits(
        orphan_grace_s=runs.orphan_grace_s,
        max_buffered_chars=runs.max_buffered_chars,
        max_flush_window_s=runs.max_flush_window_s,
        flushes_per_s=runs.flushes_per_s,
        first_batch_wait_s=runs.first_batch_wait_s,
    )
