"""The `ingress` deployment: HTTP. A thin shell round the ASGI application of `deployments.http`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from deployments.composition.limits import LivePlans, QuotaStores
from deployments.composition.telemetry import Tracing
from deployments.identity import Identity
from deployments.knobs import IngressKnobs
from deployments.remote import Handle
from deployments.shedding import Shedding
from services.runs.service import RunService
from services.storage.database import Database
from services.telemetry.summing import SummingMeter


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressParts:
    """What an ingress replica is made of; opened on the replica's own loop."""

    app: ASGIApp
    runs: RunService
    limits: LivePlans
    quota_stores: QuotaStores
    identity: Identity
    shedding: Shedding
    meter: SummingMeter
    tracing: Tracing
    database: Database


OpenIngress = Callable[[Handle, Handle], Awaitable[IngressParts]]


class IngressReplica:
    """Authenticates, admits and streams.

    The application is built in the replica, by a method that Serve calls after `__init__`: nothing that holds a connection
    crosses processes.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, open_ingress: OpenIngress, agent: Handle, guardrail: Handle
    ) -> None:
        self._parts = await open_ingress(agent, guardrail)

    def __serve_build_asgi_app__(self) -> ASGIApp:  # Serve's name for it
        return self._parts.app

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply the live knobs. A wrong one is refused with a message, and the old ones stay."""
        knobs = IngressKnobs.parse(user_config)
        self._parts.limits.configure(self._parts.limits.laid_over(knobs.limits))
        self._parts.tracing.configure(knobs.trace_rate)

    async def check_health(self) -> None:
        """Alive when the loop answers. Whether Postgres does is `/readyz`'s to say."""

    async def __del__(self) -> None:
        """Called and awaited by Serve on a graceful stop: every hang-up must have been told to the agents."""
        self._parts.shedding.stop()
        await self._parts.runs.settled()
        await self._parts.tracing.aclose()
        await self._parts.quota_stores.aclose()
        await self._parts.identity.aclose()
        await self._parts.database.close()
        self._parts.meter.close()
