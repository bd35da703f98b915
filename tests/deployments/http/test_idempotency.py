"""`Idempotency-Key`: the same request again is given the run of the first, on every route that begins one."""

import asyncio
from typing import Any

import httpx
import pytest

from services.events import TextDelta
from services.types import RunStatus
from tests.deployments.http.fakes import COLLEAGUES_KEY, OTHER_KEY, Rig
from tests.deployments.http.refusals import CHAT, COMPLETIONS, GOOD, QUEUED, WAITED, check
from tests.deployments.http.scripted_agent import COMPLETED

EVERY = pytest.mark.parametrize("path", [CHAT, COMPLETIONS, QUEUED, WAITED])
KEY = {"idempotency-key": "first-try"}
OTHER_WORDS = GOOD | {"messages": [{"role": "user", "content": "Say goodbye."}]}


async def send(client: httpx.AsyncClient, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return await client.post(path, json=body, headers=KEY | {name.replace("_", "-"): v for name, v in headers.items()})


@EVERY
async def test_the_same_request_again_is_given_the_same_run(path: str) -> None:
    """Whole or streamed, the answer is the same, and it was worked for once; the order of the fields does not matter."""
    rig = Rig()
    async with rig.client() as client:
        first = await send(client, path, GOOD)
        again = await send(client, path, dict(reversed(GOOD.items())))
    assert (first.status_code, again.status_code) == ((202, 202) if path == QUEUED else (200, 200))
    assert again.headers["x-run-id"] == first.headers["x-run-id"]
    assert again.content == first.content
    assert len(rig.all_runs) == 1
    assert len(rig.agent.tickets) == (path != QUEUED)


async def test_the_same_request_attaches_to_a_run_at_work() -> None:
    """A client that has lost its connection gets all of the run; its leaving again does not stop the first one's run."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (TextDelta(text="Hel"), gate, TextDelta(text="lo"), COMPLETED)
    async with rig.client() as client, Rig(other=rig).client() as elsewhere:
        first = asyncio.create_task(send(client, CHAT, GOOD))
        await rig.agent.waiting.wait()
        again = asyncio.create_task(send(elsewhere, CHAT, GOOD))
        left = asyncio.create_task(send(elsewhere, CHAT, GOOD))
        for _ in range(20):
            await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        gate.set()
        assert (await again).content == (await first).content
    assert (len(rig.all_runs), rig.cancels) == (1, [])


@EVERY
async def test_the_key_of_another_request_is_refused(path: str) -> None:
    """Another body is a 422 that nobody should send again, and begins nothing."""
    rig = Rig()
    async with rig.client() as client:
        await send(client, path, GOOD)
        response = await send(client, path, OTHER_WORDS)
    check(response, 422, None, "idempotency_mismatch")
    assert len(rig.all_runs) == 1


@pytest.mark.parametrize(("path", "other"), [(CHAT, WAITED), (WAITED, QUEUED), (QUEUED, CHAT)])
async def test_another_route_is_another_request(path: str, other: str) -> None:
    """The same words to another route ask for something else."""
    rig = Rig()
    async with rig.client() as client:
        await send(client, path, GOOD)
        check(await send(client, other, GOOD), 422, None, "idempotency_mismatch")


async def test_another_thread_is_another_request() -> None:
    """Chat Completions has its thread in a header: the same body for another thread asks for something else."""
    rig = Rig()
    async with rig.client() as client:
        first = await send(client, COMPLETIONS, GOOD, x_thread_id="new")
        again = await send(client, COMPLETIONS, GOOD, x_thread_id="new")
        assert again.headers["x-run-id"] == first.headers["x-run-id"]
        thread_id = first.headers["x-thread-id"]
        check(await send(client, COMPLETIONS, GOOD), 422, None, "idempotency_mismatch")
        check(await send(client, COMPLETIONS, GOOD, x_thread_id=thread_id), 422, None, "idempotency_mismatch")
    assert len(rig.all_runs) == 1


@EVERY
async def test_another_users_key_is_another_key(path: str) -> None:
    """Nobody learns from a key what others asked, not even a colleague."""
    rig = Rig()
    async with rig.client() as client:
        ids = {
            (await send(client, path, words, authorization=f"Bearer {key}")).headers["x-run-id"]
            for key, words in ((COLLEAGUES_KEY, GOOD), (OTHER_KEY, GOOD))
        }
        ids.add((await send(client, path, OTHER_WORDS)).headers["x-run-id"])
    assert len(ids) == 3
    assert {(run.tenant_id, run.user_id) for run in rig.all_runs} == {
        ("acme", "eve"),
        ("other", "bob"),
        ("acme", "ada"),
    }


async def test_a_request_that_failed_at_once_fails_again_until_it_has_another_key() -> None:
    """A key is a run, however that ended: as a status where the first answer was one."""
    rig = Rig()
    body = {"messages": [{"role": "user", "content": "Say hello."}], "timeout_s": 1}
    rig.agent.silent_start, rig.agent.steps = True, (asyncio.Event(),)
    async with rig.client() as client:
        asking = asyncio.create_task(send(client, CHAT, body))
        await rig.agent.waiting.wait()
        rig.time.advance(1.0)
        first, again = await asking, await send(client, CHAT, body)
        rig.agent.silent_start, rig.agent.steps = False, (COMPLETED,)
        other = await send(client, CHAT, body, idempotency_key="second-try")
    assert (first.status_code, again.status_code, other.status_code) == (504, 504, 200)
    assert [run.status for run in rig.all_runs] == [RunStatus.FAILED, RunStatus.COMPLETED]


@EVERY
@pytest.mark.parametrize("key", [b"", b"x" * 256, "schlüssel".encode(), b"a\tb", b"\x7f"])
async def test_a_key_that_cannot_be_kept_is_refused(rig: Rig, path: str, key: bytes) -> None:
    """It is 1 to 255 printable ASCII characters."""
    async with rig.client() as client:
        response = await client.post(path, json=GOOD, headers={b"idempotency-key": key})
    check(response, 400, "idempotency-key", "invalid_request")


@pytest.mark.parametrize("key", ["x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a b", "~"])
async def test_any_other_key_is_taken(key: str) -> None:
    """Quoted or not, as it came."""
    rig = Rig()
    async with rig.client() as client:
        ids = {(await send(client, QUEUED, GOOD, idempotency_key=key)).headers["x-run-id"] for _ in range(2)}
    assert len(ids) == 1
    assert {stored for _, _, stored in rig.store.tables.keys} == {key}
