"""Every fault of a provider, on a real cluster: what the client sees, what is on record, the breaker, the attempts."""

import httpx
import pytest

from tests.e2e.faults.cases import CASES, Case
from tests.e2e.faults.conftest import Site, until_state
from tests.e2e.streams import Event, ask, text_of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_providers_fault(case: Case, site: Site, client: httpx.AsyncClient) -> None:
    """The answer of the next provider, or a failure with its code after the text that was shown: never less, never twice."""
    site.primary.default = case.directive
    received = await ask(client, "hello")
    run = (await client.get(f"/runs/{received[0].data['run_id']}")).json()
    if case.code is None:
        assert received[-1].name == "run_completed", received[-1]
        assert text_of(received)
        assert (run["status"], run["error"]) == ("completed", None)
    else:
        await assert_partial(case.code, received, run, client)
    assert (site.primary.seen.received, site.secondary.seen.received) == case.attempts
    await until_state(client, "primary", case.breaker)
    await site.primary.seen.until(lambda seen: seen.open == 0)


async def assert_partial(code: str, received: list[Event], run: dict[str, object], client: httpx.AsyncClient) -> None:
    """The text that came is shown, kept and marked; the failure says what it was and what may be done."""
    end = received[-1]
    assert end.name == "run_failed"
    assert (end.data["error"]["code"], end.data["partial"], end.data["next"]) == (code, True, "continue")
    assert run["status"] == "failed"
    history = (await client.get(f"/threads/{received[0].data['thread_id']}/messages")).json()["messages"]
    assert [(message["role"], message.get("incomplete", False)) for message in history] == [
        ("user", False),
        ("assistant", True),
    ]
    assert history[-1]["content"] == text_of(received)
