"""Answers are judged beside the way of answers: whatever happens there, nobody waits for it."""

import asyncio
import os
import signal

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.faults.conftest import Site, states
from tests.e2e.faults.looking import look, processes, record_of
from tests.e2e.faults.operating import user_config
from tests.e2e.faults.rows import Part, Row, proves

pytestmark = pytest.mark.chaos

QUESTIONS = 20
EVALUATOR = "ServeReplica:mainstay:evaluator"

FAULTS = {"is silent": Directive(fault="hang"), "answers 503": Directive(fault="status_503")}


@proves(
    *(
        Row(
            part=Part.OURS,
            rows="27",
            fault=f"the judge's model {fault}",
            client="a whole answer",
            record="completed",
            breaker="closed",
            attempts="1",
        )
        for fault in FAULTS
    )
)
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_judge_fails(fault: str, site: Site, client: httpx.AsyncClient) -> None:
    """Every answer is to be judged, and none can be: all questions are answered."""
    site.judge.default = FAULTS[fault]
    site.judge.seen.clear()
    async with user_config(site.served, "agent", sampling={"base_rate": 1.0}):
        await assert_answers(site, client)
        await site.judge.seen.until(lambda seen: seen.received > 0)


@proves(
    Row(
        part=Part.OURS,
        rows="27",
        fault="the evaluator's replica is killed",
        client="a whole answer",
        record="completed",
        breaker="closed",
        attempts="1",
    )
)
async def test_the_evaluator_is_killed(site: Site, client: httpx.AsyncClient) -> None:
    """All questions are answered without it, and it comes back by itself."""
    async with user_config(site.served, "agent", sampling={"base_rate": 1.0}):
        [evaluator] = await asyncio.to_thread(processes, site.served, EVALUATOR)
        os.kill(evaluator, signal.SIGKILL)
        await assert_answers(site, client)
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(processes, site.served, EVALUATOR) - {evaluator}:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def assert_answers(site: Site, client: httpx.AsyncClient) -> None:
    views = await asyncio.gather(*(look(client, "hello") for _ in range(QUESTIONS)))
    assert all(view.answered for view in views)
    assert {(await record_of(client, view.run_id))["status"] for view in views} == {"completed"}
    assert (site.primary.seen.received, site.secondary.seen.received) == (QUESTIONS, 0)
    assert (await states(client))["primary"] == "closed"
