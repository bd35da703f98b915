"""What an agent replica stands on."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from configs.settings import RunSettings, Settings
from deployments.agent import AgentParts
from deployments.composition.database import open_database
from deployments.composition.graphs import build_graphs, prompt_roles
from deployments.composition.load import load_monitor
from deployments.composition.routes import configured_breaker, open_route
from deployments.knobs import LiveBreakers, LivePrompts
from deployments.metrics import RayMeter
from deployments.remote import Handle, RemoteGuard, RemoteSamples
from deployments.reporter import RunReporter
from deployments.shedding import Shedding
from deployments.tool_report import ToolReport
from graphs.build import tool_breakers
from graphs.tools.care import TOOL_BREAKER, ToolCare
from graphs.tools.resources import ToolResources
from graphs.tools.success import SuccessRates
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.resilience.breaker import Breaker
from services.runs.engine import EngineLimits, RunEngine
from services.runs.sweep import sweep_forever
from services.runs.warm_up import warm_up
from services.storage.checkpointer import AsyncpgSaver
from services.storage.documents import DocumentRepository
from services.storage.runs import RunRepository
from services.telemetry.breakers import BreakerReport
from services.telemetry.metrics import MODEL_LIMIT, Meter

SWEEP_EVERY_S = 60.0
SWEEP_MARGIN_S = 60.0
"""A run is taken for lost when it is still live this long after it must have ended."""


async def open_agent(settings: Settings, guardrail: Handle, evaluator: Handle) -> AgentParts:
    database = await open_database(settings, "agent")
    meter = RayMeter()
    report = BreakerReport(meter)
    routes = {provider.name: open_route(provider, report) for provider in settings.providers}
    tools, tool_report = tool_breakers(listeners=(report,)), ToolReport(meter, SuccessRates())
    breakers = _live_breakers(settings, routes, tools)
    shedding = Shedding(load_monitor(settings), meter)
    shedding.start()
    reporter = RunReporter(RemoteSamples(evaluator), meter, shedding)
    prompts = LivePrompts({name: graph.prompts for name, graph in settings.graphs.items()}, prompt_roles(settings))
    runs = RunRepository(database)
    guard = RemoteGuard(guardrail, timeout_s=settings.guardrail.timeout_s)
    resources = ToolResources(documents=DocumentRepository(database))
    care = ToolCare(breakers=tools, observer=tool_report)
    graphs = build_graphs(settings, resources, care, AsyncpgSaver(database, history=False))
    gateways = _gateways(settings, routes, meter)
    engine = RunEngine(
        runs=runs,
        graphs=graphs,
        gateways=gateways,
        guard=guard,
        observer=reporter,
        prompts=prompts,
        limits=_limits(settings.runs),
    )
    chores: list[Coroutine[Any, Any, None]] = [
        sweep_forever(runs, older_than_s=settings.runs.max_run_s + SWEEP_MARGIN_S, every_s=SWEEP_EVERY_S)
    ]
    if settings.runs.warm_up_s:
        name = settings.default_graph
        chores.append(
            warm_up(name, graphs[name], gateways[name], guard, prompts(name), within_s=settings.runs.warm_up_s)
        )
    return AgentParts(
        engine=engine,
        chores=tuple(map(asyncio.create_task, chores)),
        routes=tuple(routes.values()),
        database=database,
        prompts=prompts,
        breakers=breakers,
        shedding=shedding,
        gauges=(partial(breakers.show, report), tool_report.show, partial(_show_limits, routes.values(), meter)),
        reporter=reporter,
        drain_s=settings.runs.max_run_s,
    )


def _gateways(settings: Settings, routes: Mapping[str, Route], meter: Meter) -> Mapping[str, Gateway]:
    """Return each graph's way to its providers, which several graphs share."""
    return {
        name: Gateway([routes[provider] for provider in graph.providers or routes], meter=meter)
        for name, graph in settings.graphs.items()
    }


def _live_breakers(settings: Settings, routes: Mapping[str, Route], tools: Mapping[str, Breaker]) -> LiveBreakers:
    providers = {
        provider.name: (routes[provider.name].breaker, configured_breaker(provider)) for provider in settings.providers
    }
    return LiveBreakers({**providers, **{breaker.name: (breaker, TOOL_BREAKER) for breaker in tools.values()}})


def _show_limits(routes: Iterable[Route], meter: Meter) -> None:
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
