"""The configured graphs in one process, as a target to be evaluated: engine, guards, screens and tools of the replicas.

What a deployment adds is left out: HTTP, limits, budgets, and the database of runs, which are in memory here.
"""

import hashlib
from collections.abc import Mapping
from contextlib import aclosing
from uuid import UUID

from uuid_utils.compat import uuid7

from configs.settings import Settings
from deployments.composition.graphs import build_graphs, prompt_roles
from deployments.composition.output import LiveSemantics, judge_of, output_screen
from deployments.composition.routes import open_route
from deployments.guardrail import GuardrailReplica
from deployments.knobs import LivePrompts
from deployments.sampling import sample_of
from evaluation.offline.dataset import Case
from evaluation.offline.target import Answered
from evaluation.sampler import Taken
from graphs.tools.resources import DocumentSearch, ToolResources
from services.errors import ConfigurationError
from services.guard_batches import BatchingGuard
from services.limits.purse import BOTTOMLESS
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.runs.engine import EngineLimits, RunEngine, RunObserver, RunTimes
from services.runs.intake import Intake
from services.samples import Sample, Stratum
from services.storage.memory import MemoryStore
from services.telemetry.breakers import BreakerReport
from services.telemetry.metrics import UNMEASURED
from services.types import Principal, Run, RunOutcome, RunRequest, RunTicket

SOMEBODY = Principal(tenant_id="evaluation", user_id="evaluation")
LEASE_S = 10 * 365 * 86_400.0
"""Nobody else is there to take runs over."""
TAKEN = Taken(base=True, weight=1.0)
"""Nothing is sampled: every run is looked at."""


class EndedRuns:
    """Implements `RunObserver`: each run as it ended, with the code of its failure, until it is asked for."""

    def __init__(self) -> None:
        self._ended: dict[UUID, Answered] = {}

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        sample: Sample = sample_of(run, outcome, times, Stratum.ORDINARY, TAKEN)
        failed = "" if outcome.finish_reason else outcome.status.value
        self._ended[run.id] = Answered(sample=sample, failure=outcome.failure.code if outcome.failure else failed)

    def take(self, run_id: UUID) -> Answered:
        return self._ended.pop(run_id)


class InProcessTarget:
    """Implements `evaluation.offline.target.Target`. Its runs stay in memory for as long as it does. Close it."""

    def __init__(
        self,
        name: str,
        graph: str,
        *,
        engine: RunEngine,
        ended: EndedRuns,
        intake: Intake,
        store: MemoryStore,
        lease: UUID,
    ) -> None:
        self.name = name
        self._graph = graph
        self._engine = engine
        self._ended = ended
        self._intake = intake
        self._store = store
        self._lease = lease

    async def answer(self, case: Case) -> Answered:
        """Take a turn in and run it, as an ingress and an agent would. Raises what refuses it at the door."""
        request = RunRequest(graph=self._graph, messages=case.messages, ephemeral=True)
        run = await self._intake.screen(self._intake.run_of(SOMEBODY, request))
        await self._store.leases.beat(self._lease, LEASE_S)
        await self._store.runs.create(run)
        ticket = RunTicket(run_id=run.id, remaining_s=run.timeout_s or 0.0)
        async with aclosing(self._engine.execute(ticket)) as frames:
            async for _ in frames:
                pass
        return self._ended.take(run.id)

    async def aclose(self) -> None:
        await self._engine.drain(0.0)


def open_in_process(
    settings: Settings, routes: Mapping[str, Route], documents: DocumentSearch, *, graph: str
) -> InProcessTarget:
    """Return a graph of the settings as a target, over routes to their providers, which the caller closes.

    Raises ConfigurationError for a graph that is not there or cannot be built.
    """
    chosen = settings.graphs[graph_named(graph, settings)]
    prompts = LivePrompts({name: one.prompts for name, one in settings.graphs.items()}, prompt_roles(settings))
    replica = GuardrailReplica(settings.guardrail.rules, settings.guardrail.timeout_s)
    guard = BatchingGuard(replica, timeout_s=settings.guardrail.timeout_s)
    graphs = build_graphs(settings, ToolResources(documents=documents))
    store, lease, ended = MemoryStore(), uuid7(), EndedRuns()
    observers: tuple[RunObserver, ...] = (ended,)
    semantic = settings.guardrail.output.semantic
    ask = judge_of(Gateway([routes[semantic.provider or settings.providers[0].name]]), lambda: BOTTOMLESS)
    engine = RunEngine(
        runs=store.owned_runs,
        lease=lease,
        graphs=graphs,
        gateways={
            name: Gateway([routes[provider] for provider in one.providers or routes], graph=name)
            for name, one in settings.graphs.items()
        },
        guard=guard,
        observers=observers,
        prompts=prompts,
        prompt_version=prompts.version,
        limits=EngineLimits(),
        screen=output_screen(settings.guardrail.output, UNMEASURED, LiveSemantics(semantic, ask, UNMEASURED)),
    )
    intake = Intake(runs=store.runs, guard=guard, graphs=graphs, max_run_s=settings.runs.max_run_s, new_id=uuid7)
    first = (chosen.providers or tuple(routes))[0]
    what = f"{routes[first].provider.model}, prompts {prompts.version(graph)}, settings {_version(settings)}"
    return InProcessTarget(
        f"{graph} in process, {what}", graph, engine=engine, ended=ended, intake=intake, store=store, lease=lease
    )


def _version(settings: Settings) -> str:
    """Return a digest of all settings: answers depend on tools, guards and providers as well, and marks on the judge."""
    return hashlib.blake2b(settings.model_dump_json().encode(), digest_size=6).hexdigest()


def graph_named(name: str, settings: Settings) -> str:
    """Return the name of a graph of the settings. Raises ConfigurationError where it is none."""
    if name not in settings.graphs:
        raise ConfigurationError(f"There is no graph {name!r}. There are: {', '.join(settings.graphs)}.")
    return name


def open_routes(settings: Settings) -> Mapping[str, Route]:
    """Return a route to every provider of the settings, by name."""
    report = BreakerReport(UNMEASURED)
    return {provider.name: open_route(provider, report) for provider in settings.providers}
