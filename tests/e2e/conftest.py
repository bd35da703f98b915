"""One launcher per profile and session, in front of one simulated upstream: what a user runs, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from benchmarks.upstream import Upstream
from tests.e2e.launching import MODEL, START_TIMEOUT_S, Served, free_port, launched


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs a cluster; those of one cluster run together."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.ray)
        if here / "faults" in item.path.parents:
            item.add_marker(pytest.mark.faults)
        item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 60))
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@asynccontextmanager
async def in_a_thread(context: AbstractContextManager[Served]) -> AsyncIterator[Served]:
    """Enter and leave a blocking context beside the loop, on which the upstream goes on answering."""
    served = await asyncio.to_thread(context.__enter__)
    try:
        yield served
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.fixture(scope="session")
def upstream_port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_upstream(upstream_port: int) -> AsyncIterator[Upstream]:
    async with Upstream(port=upstream_port, models=(MODEL,)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def upstream(running_upstream: Upstream) -> Upstream:
    """The upstream with nothing seen yet."""
    await running_upstream.seen.until(lambda seen: seen.open == 0)
    running_upstream.seen.clear()
    return running_upstream


@pytest_asyncio.fixture(scope="session", params=["plain", "production"], loop_scope="session")
async def served(request: pytest.FixtureRequest, running_upstream: Upstream) -> AsyncIterator[Served]:
    """Mainstay in each profile, started and stopped as `make serve` does."""
    own = str(Path(__file__).parent / "settings.yaml")
    async with in_a_thread(launched(request.param, running_upstream.url, MAINSTAY_SETTINGS=own)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=served.headers, timeout=60.0) as made:
        yield made
