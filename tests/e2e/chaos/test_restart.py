"""A run that asks a person, and a person who answers after everything was stopped and started again."""

import asyncio

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.chaos.checking import Checker
from tests.e2e.chaos.conftest import CAREFUL, Site, until_ready
from tests.e2e.chaos.effects import Expected, read, wrong
from tests.e2e.chaos.load import turn
from tests.e2e.chaos.resuming import Reading

pytestmark = pytest.mark.chaos

CALLS = [Expected("asked first", "note_once"), Expected("asked as well", "note_idempotent")]


async def test_the_answer_comes_after_a_restart(site: Site, client: httpx.AsyncClient) -> None:
    """The question outlives the application; once it is answered the run completes, and its calls are made, once each."""
    asked = Directive(tool_calls=tuple(call.call for call in CALLS), text="Both are noted.")
    reading = await Reading(client=client, body=turn(asked, model=CAREFUL)).read()
    assert reading.story.end.name == "run_interrupted"
    [question] = reading.story.end.data["interrupts"]
    assert [request["name"] for request in question["value"]["action_requests"]] == [call.tool for call in CALLS]
    assert len(wrong(await asyncio.to_thread(read, site.effects), CALLS)) == len(CALLS)  # none was made

    await site.restart()
    await until_ready(client)
    checker = Checker(site=site, client=client)
    await checker.check(reading)
    further = await checker.go_on(reading)
    assert [run.story.end.name for run in further] == ["run_completed"]
    assert further[0].story.text == "Both are noted."
    await checker.check(further[0])
    await checker.check_effects(CALLS)
