"""The `agent` deployment: runs graphs. A thin shell round `services.runs.RunEngine`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deployments.autoscaling import UNSEEN_WORK
from deployments.composition.limits import LivePlans, QuotaStores
from deployments.composition.output import LiveSemantics
from deployments.composition.sampling import LiveSampling
from deployments.composition.telemetry import Tracing
from deployments.knobs import AgentKnobs, LiveBreakers, LivePrompts
from deployments.remote import Handle
from deployments.shedding import Shedding
from deployments.webhooks import Webhooks
from services.errors import Failure, MainstayError
from services.limits.settling import RunSettling
from services.limits.treasury import Treasury
from services.llm.embeddings import OpenAIEmbeddings
from services.llm.route import Route
from services.resilience.mirror import BreakerSnapshot
from services.resilience.priority import Priority
from services.runs.engine import RunEngine
from services.runs.lease_keeper import LeaseKeeper
from services.runs.multiplex import Frame
from services.security.pages import HttpPages
from services.storage.database import Database
from services.telemetry.summing import SummingMeter
from services.types import RunTicket


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentParts:
    """What an agent replica is made of; opened on the replica's own loop."""

    engine: RunEngine
    keeper: LeaseKeeper
    webhooks: Webhooks | None
    routes: tuple[Route, ...]
    embeddings: OpenAIEmbeddings | None
    pages: HttpPages
    database: Database
    prompts: LivePrompts
    breakers: LiveBreakers
    limits: LivePlans
    semantics: LiveSemantics
    quota_stores: QuotaStores
    settling: RunSettling
    treasury: Treasury
    shedding: Shedding
    meter: SummingMeter
    gauges: tuple[Callable[[], None], ...]
    sampling: LiveSampling
    tracing: Tracing
    chores: "tuple[asyncio.Task[Any], ...]"
    settlers: "tuple[asyncio.Task[Any], ...]"
    drain_s: float


OpenAgent = Callable[[Handle, Handle], Awaitable[AgentParts]]


class AgentReplica:
    """Executes stored runs and streams their events in batches.

    `execute` yields `Frame`s, or one `Failure` in place of the first: failures cross the process boundary as data.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, open_agent: OpenAgent, guardrail: Handle, evaluator: Handle
    ) -> None:
        self._parts = await open_agent(guardrail, evaluator)

    async def execute(self, ticket: RunTicket) -> AsyncIterator[Frame | Failure]:
        try:
            self._parts.shedding.admit(Priority.NEW_TURN)
            async with aclosing(self._parts.engine.execute(ticket)) as frames:
                async for frame in frames:
                    yield frame
        except MainstayError as error:
            yield error.to_failure()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply the live knobs. A wrong one is refused with a message, and the old ones stay."""
        knobs = AgentKnobs.parse(user_config)
        policies = self._parts.breakers.laid_over(knobs.breakers)
        plans = self._parts.limits.laid_over(knobs.limits)
        tier = self._parts.semantics.laid_over(knobs.semantic)
        sampling = self._parts.sampling.laid_over(knobs.sampling)
        self._parts.prompts.overlay(knobs.prompts)
        self._parts.breakers.configure(policies)
        self._parts.limits.configure(plans)
        self._parts.semantics.configure(tier)
        self._parts.sampling.configure(sampling)

    def breakers(self) -> tuple[BreakerSnapshot, ...]:
        """Return the state of every breaker in this replica: the providers', and the tools' as `tool:<name>`."""
        return self._parts.breakers.snapshots()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the runs that nobody reads: work that Serve's own count of requests does not see.

        Serve asks at intervals, which is also when what changes without an event is measured.
        """
        for show in self._parts.gauges:
            show()
        return {UNSEEN_WORK: float(self._parts.engine.detached)}

    async def check_health(self) -> None:
        """Alive when the loop answers. Shared dependencies are not asked: their outage must not restart every replica."""

    async def __del__(self) -> None:
        """Called and awaited by Serve on a graceful stop, once no request is being served: let the runs end that nobody reads,
        and leave those that do not to other replicas.
        """
        for chore in self._parts.chores:
            chore.cancel()
        # Runs that are draining wait for their bills to be paid, and hold their places.
        await self._parts.keeper.shut_down(self._parts.drain_s)
        for settler in self._parts.settlers:
            settler.cancel()
        await asyncio.wait(self._parts.settlers)
        await self._parts.settling.settle()
        await self._parts.treasury.settle_all()
        await self._parts.quota_stores.aclose()
        if self._parts.webhooks is not None:
            await self._parts.webhooks.close()
        self._parts.shedding.stop()
        await self._parts.tracing.aclose()
        for route in self._parts.routes:
            await route.provider.aclose()
        if self._parts.embeddings is not None:
            await self._parts.embeddings.aclose()
        await self._parts.pages.aclose()
        await self._parts.database.close()
        self._parts.meter.close()
