"""Fixtures of the HTTP tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from configs.http import HttpSettings
from tests.deployments.http.fakes import Rig, serving
from tests.deployments.http.refusals import LIMIT
from tests.deployments.http.served import Served


@pytest.fixture(scope="module")
def refusing() -> Rig:
    """One application for all of what is refused: building one takes longer than asking it."""
    return Rig(settings=HttpSettings(max_messages=4, max_message_chars=50, max_body_bytes=LIMIT))


@pytest.fixture
def rig(refusing: Rig) -> Iterator[Rig]:
    rig = refusing
    yield rig
    assert rig.all_runs == [], "bad input must not become a run"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A fresh application on a free port."""
    rig = Rig()
    async with serving(rig.app) as port:
        yield Served(rig=rig, url=f"http://127.0.0.1:{port}/v1")
