"""What every listed protocol must do, because it is listed."""

import pytest

from deployments.protocols import PROTOCOLS
from deployments.protocols.types import Rules
from deployments.protocols.validation import Body
from services.errors import InvalidRequest

RULES = Rules(default_graph="react", max_messages=3, max_message_chars=20, max_run_s=60.0, check_webhook=lambda _: None)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_refuses_an_empty_object_by_name(name: str) -> None:
    """An object without fields lacks one that is named."""
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOLS[name].parse({}, {}, RULES)
    assert caught.value.param in PROTOCOLS[name].body.model_fields


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_knows_its_fields(name: str) -> None:
    """Bodies are strict and closed, and a field that nobody knows is named."""
    assert issubclass(PROTOCOLS[name].body, Body)
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOLS[name].parse({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "x" * 500: 1}, {}, RULES)
    assert caught.value.param == "x" * 128


def test_paths_are_distinct() -> None:
    """Two protocols on one path would shadow each other."""
    assert len({protocol.path for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)
