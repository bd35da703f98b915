"""What an agent replica stands on."""

import asyncio
from typing import Any

from configs.settings import Settings
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
from graphs.tools.care import ToolCare
from graphs.tools.resources import ToolResources
from services.llm.gateway import Gateway
from services.runs.engine import EngineLimits, RunEngine
from services.runs.sweep import sweep_forever
from services.runs.warm_up import warm_up
from services.storage.checkpointer import AsyncpgSaver
from services.storage.documents import DocumentRepository
from services.storage.runs import RunRepository
from services.telemetry.breakers import BreakerReport

SWEEP_EVERY_S = 60.0
SWEEP_MARGIN_S = 60.0
"""A run is taken for lost when it is still live this long after it must have ended."""


async def open_agent(settings: Settings, guardrail: Handle, evaluator: Handle) -> AgentParts:
    database = await open_database(settings, "agent")
    meter = RayMeter()
    report = BreakerReport(meter)
    routes = {provider.name: open_route(provider, report) for provider in settings.providers}
    gateways = {
        name: Gateway([routes[provider] for provider in graph.providers or routes], meter=meter)
        for name, graph in settings.graphs.items()
    }
    policies = {provider.name: configured_breaker(provider) for provider in settings.providers}
    breakers = LiveBreakers({name: route.breaker for name, route in routes.items()}, policies)
    prompts = LivePrompts({name: graph.prompts for name, graph in settings.graphs.items()}, prompt_roles(settings))
    resources = ToolResources(documents=DocumentRepository(database))
    shedding = Shedding(load_monitor(settings), meter)
    shedding.start()
    reporter = RunReporter(RemoteSamples(evaluator), meter, shedding)
    runs = RunRepository(database)
    guard = RemoteGuard(guardrail, timeout_s=settings.guardrail.timeout_s)
    care = ToolCare(breakers=tool_breakers(listeners=(report,)), observer=ToolReport(meter))
    graphs = build_graphs(settings, resources, care, AsyncpgSaver(database, history=False))
    engine = RunEngine(
        runs=runs,
        graphs=graphs,
        gateways=gateways,
        guard=guard,
        observer=reporter,
        prompts=prompts,
        limits=EngineLimits(
            orphan_grace_s=settings.runs.orphan_grace_s,
            max_buffered_chars=settings.runs.max_buffered_chars,
            max_flush_window_s=settings.runs.max_flush_window_s,
            flushes_per_s=settings.runs.flushes_per_s,
            first_batch_wait_s=settings.runs.first_batch_wait_s,
        ),
    )
    sweeping = sweep_forever(runs, older_than_s=settings.runs.max_run_s + SWEEP_MARGIN_S, every_s=SWEEP_EVERY_S)
    chores: list[asyncio.Task[Any]] = [asyncio.create_task(sweeping)]
    if settings.runs.warm_up_s:
        name = settings.default_graph
        warming = warm_up(name, graphs[name], gateways[name], guard, prompts(name), within_s=settings.runs.warm_up_s)
        chores.append(asyncio.create_task(warming))
    return AgentParts(
        engine=engine,
        chores=tuple(chores),
        routes=tuple(routes.values()),
        database=database,
        prompts=prompts,
        breakers=breakers,
        shedding=shedding,
        breaker_report=report,
        reporter=reporter,
        drain_s=settings.runs.max_run_s,
    )
