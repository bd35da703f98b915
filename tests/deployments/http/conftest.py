"""Fixtures of the HTTP tests."""

from collections.abc import Iterator

import pytest

from configs.settings import HttpSettings
from tests.deployments.http.fakes import Rig
from tests.deployments.http.refusals import LIMIT


@pytest.fixture(scope="module")
def refusing() -> Rig:
    """One application for all of what is refused: building one takes longer than asking it."""
    return Rig(settings=HttpSettings(max_messages=4, max_message_chars=50, max_body_bytes=LIMIT))


@pytest.fixture
def rig(refusing: Rig) -> Iterator[Rig]:
    rig = refusing
    yield rig
    assert rig.store.runs == {}, "bad input must not become a run"
