"""Mainstay in the production profile, two replicas each of ingress and agent, to be hurt; and the count of what that did."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from benchmarks.upstream import Upstream
from tests.e2e.chaos.effects import EFFECTS_FILE
from tests.e2e.chaos.load import ACTING
from tests.e2e.chaos.operating import Operator
from tests.e2e.chaos.tally import Tally, table
from tests.e2e.conftest import in_a_thread
from tests.e2e.launching import MODEL, Served, inside, launched, operated, relaunch, stop

REPLICAS = 2

CAREFUL = "careful"
"""The graph whose every call a person approves."""

SOONER = {"RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1"}
"""What Ray looks at every ten seconds."""

TALLIES = pytest.StashKey[dict[str, Tally]]()
SEED = pytest.StashKey[int]()


@dataclass(slots=True, kw_only=True)
class Site:
    """What is served, the upstream behind it, and the file with the effects of its tools."""

    served: Served
    upstream: Upstream
    effects: Path
    killed: set[int] = field(default_factory=set)
    """Processes that a test has killed, which Serve may take a moment to notice."""

    async def restart(self) -> None:
        """Stop all of it and start it again on what it has stored."""
        self.served = await asyncio.to_thread(relaunch, self.served)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One cluster for all tests of the package, stopped when they are over."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(models=(MODEL,)))
        folder = tmp_path_factory.mktemp("chaos")
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings()))
        effects = folder / "effects"
        effects.touch()
        serving = launched(
            "production",
            upstream.url,
            MAINSTAY_SETTINGS=str(folder / "settings.yaml"),
            MAINSTAY_REPLICAS=str(REPLICAS),
            MAINSTAY_CPUS="8",
            **inside("tests.e2e.chaos.effects"),
            **{EFFECTS_FILE: str(effects)},
            **SOONER,
        )
        served = await stack.enter_async_context(in_a_thread(serving))
        made = Site(served=served, upstream=upstream, effects=effects)
        try:
            yield made
        finally:
            await asyncio.to_thread(stop, made.served.launcher)


def settings() -> dict[str, Any]:
    """Beside the usual graphs two that have the tools of `effects`.

    The guard has more time: it shares few processors with replicas that start, and how long it takes is not what is tested.
    """
    graph = {"kind": "react", "tools": ["note_once", "note_idempotent"], "prompts": {"system": "Use your tools."}}
    return {
        "guardrail": {"timeout_s": 10.0},
        "graphs": {
            ACTING: {**graph, "description": "An agent whose tools have effects."},
            CAREFUL: {**graph, "description": "An agent that asks first.", "approve": ["note_once", "note_idempotent"]},
        },
    }


@pytest_asyncio.fixture(loop_scope="session")
async def operator(site: Site) -> AsyncIterator[Operator]:
    async with operated(site.served) as api:
        yield Operator(api=api)


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site, operator: Operator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the cluster, once that has all its replicas and answers."""
    await operator.until_whole(without=site.killed, ingress=REPLICAS, agent=REPLICAS)
    async with direct_client(site, site.served.url) as made:
        await until_ready(made)
        yield made


def direct_client(site: Site, url: str) -> httpx.AsyncClient:
    """Return a client of one address of the cluster, with as many connections as it likes."""
    unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    return httpx.AsyncClient(base_url=url, headers=site.served.headers, timeout=60.0, limits=unlimited)


async def until_ready(client: httpx.AsyncClient) -> None:
    """Ask `/readyz` until it says yes: a server under test has no event that we could wait for."""
    async with asyncio.timeout(60):
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:  # nobody there yet
                pass
            await asyncio.sleep(0.2)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> Random:
    """Randomness of this test alone, and the same whenever the seed, which CHAOS_SEED may set, is."""
    stash = request.config.stash
    if SEED not in stash:
        stash[SEED] = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
    print(f"CHAOS_SEED={stash[SEED]}")
    return Random(f"{stash[SEED]} {request.node.name}")


@pytest.fixture
def tallies(request: pytest.FixtureRequest) -> dict[str, Tally]:
    """The rows of the table that is shown at the end, by their names."""
    return request.config.stash.setdefault(TALLIES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table."""
    if tallies := config.stash.get(TALLIES, None):
        terminalreporter.section(f"chaos (CHAOS_SEED={config.stash.get(SEED, None)})")
        terminalreporter.write_line(table(tallies))
