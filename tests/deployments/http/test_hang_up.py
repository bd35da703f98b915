"""Clients that leave: over real sockets, at every moment of a run, streamed or not."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import pytest

from configs.http import HttpSettings
from deployments.http.hang_up import UntilHangUp
from services.events import TextDelta
from services.types import RunStatus
from tests.deployments.http.fakes import AUTH, KEY, Rig, serving
from tests.deployments.http.scripted_agent import COMPLETED
from tests.garbage import left_over

QUESTION = [{"role": "user", "content": "Say hello."}]
STREAMED = [("/chat/stream", {"messages": QUESTION}), ("/v1/chat/completions", {"model": "react", "stream": True})]
WHOLE = ("/v1/chat/completions", {"model": "react"})
WAITED: tuple[str, dict[str, Any]] = ("/runs/wait", {})
Message = MutableMapping[str, Any]


class Socket:
    """A client that can leave rudely."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def post(cls, port: int, path: str, body: dict[str, Any], *, receive_buffer: int | None = None) -> "Socket":
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        client = cls(*await asyncio.open_connection(sock=raw, limit=65_536))
        payload = orjson.dumps({"messages": QUESTION} | body)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
        client.writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(payload) + payload)
        await client.writer.drain()
        return client

    def reset(self) -> None:
        """Leave with a TCP reset, as a killed process does."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(settings=HttpSettings(heartbeat_s=0.01, write_timeout_s=0.1))
    yield rig
    await rig.runs.settled()


async def hung_up(rig: Rig) -> None:
    """Wait until the run's owner was told of the hang-up and its stream is closed."""
    await asyncio.wait_for(asyncio.gather(rig.run_store.cancelled.wait(), rig.agent.closed.wait()), 5)
    assert rig.cancels == ["client_disconnected"]


@pytest.mark.parametrize("leave", [Socket.close, Socket.reset])
@pytest.mark.parametrize(("path", "body"), [*STREAMED, WHOLE, WAITED])
async def test_leaving_before_the_first_byte(
    rig: Rig, path: str, body: dict[str, Any], leave: Callable[[Socket], None]
) -> None:
    """A client that leaves while its run is being started stops it."""
    rig.agent.silent_start, rig.agent.steps = True, (asyncio.Event(),)
    async with serving(rig.app) as port:
        client = await Socket.post(port, path, body)
        await rig.agent.executing.wait()
        leave(client)
        await hung_up(rig)


@pytest.mark.parametrize("leave", [Socket.close, Socket.reset])
@pytest.mark.parametrize(("path", "body"), STREAMED)
async def test_leaving_while_the_agent_is_silent(
    rig: Rig, path: str, body: dict[str, Any], leave: Callable[[Socket], None]
) -> None:
    """A client that leaves between two words is noticed though nothing is being sent."""
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    async with serving(rig.app) as port:
        client = await Socket.post(port, path, body)
        await client.reader.readuntil(b"Hel")
        leave(client)
        await hung_up(rig)
    assert rig.agent.sent == 2


@pytest.mark.parametrize(("path", "body"), [WHOLE, WAITED])
async def test_leaving_while_waiting_for_a_whole_answer(rig: Rig, path: str, body: dict[str, Any]) -> None:
    """A client that does not stream and leaves stops its run too."""
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    async with serving(rig.app) as port:
        client = await Socket.post(port, path, body)
        await rig.agent.executing.wait()
        client.reset()
        await hung_up(rig)


async def test_leaving_amid_a_flood(rig: Rig) -> None:
    """A client that leaves while the agent is talking stops it long before its end."""
    rig.agent.steps = [TextDelta(text="x" * 1000)] * 100_000
    async with serving(rig.app) as port:
        client = await Socket.post(port, "/chat/stream", {})
        await client.reader.readuntil(b"xxx")
        client.reset()
        await hung_up(rig)
    assert rig.agent.sent < 100_000


async def test_a_run_that_is_to_continue_is_left_alone(rig: Rig) -> None:
    """With on_disconnect=continue the agent is not told: its stream is only closed."""
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event())
    async with serving(rig.app) as port:
        client = await Socket.post(port, "/chat/stream", {"on_disconnect": "continue"})
        await client.reader.readuntil(b"Hel")
        client.reset()
        await asyncio.wait_for(rig.agent.closed.wait(), 5)
    await rig.runs.settled()
    assert rig.cancels == []


@pytest.mark.parametrize(("path", "waits"), [("/chat/stream", b": keep-alive"), ("/runs/wait", None)])
async def test_leaving_the_queue(rig: Rig, path: str, waits: bytes | None) -> None:
    """A client that waits for its thread is sent heartbeats where it streams, and takes its run along when it leaves."""
    rig.agent.steps = (asyncio.Event(),)
    async with serving(rig.app) as port:
        first = await Socket.post(port, "/chat/stream", {"on_disconnect": "continue"})
        await rig.agent.waiting.wait()
        behind = {"thread_id": str(rig.all_runs[0].thread_id), "multitask_strategy": "enqueue"}
        second = await Socket.post(port, path, behind)
        await rig.run_store.queued.wait()
        if waits:
            await asyncio.wait_for(second.reader.readuntil(waits), 5)
        second.reset()
        await asyncio.wait_for(rig.run_store.cancelled.wait(), 5)
        first.reset()
    assert [run.status for run in rig.all_runs] == [RunStatus.RUNNING, RunStatus.CANCELLED]
    assert rig.cancels == ["client_disconnected"]


async def test_a_client_that_does_not_read_is_cut_off(rig: Rig) -> None:
    """A reader that takes nothing fills the buffers, is waited for as long as a write may take, and has then hung up."""
    rig.agent.steps = [TextDelta(text="x" * 10_000)] * 10_000
    async with serving(rig.app) as port:
        client = await Socket.post(port, "/chat/stream", {}, receive_buffer=4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await hung_up(rig)
        client.reset()
    assert rig.agent.sent < 10_000


async def test_a_silent_agent_is_covered_by_heartbeats(rig: Rig) -> None:
    """While nothing is said, comments keep the connection alive; the answer after them is whole."""
    gate = asyncio.Event()
    rig.agent.steps = (gate, TextDelta(text="late"), COMPLETED)
    async with serving(rig.app) as port:
        client = await Socket.post(port, "/chat/stream", {})
        for _ in range(3):
            await asyncio.wait_for(client.reader.readuntil(b": keep-alive\n\n"), 5)
        gate.set()
        await asyncio.wait_for(client.reader.readuntil(b"data: [DONE]\n\n"), 5)
        client.close()
    assert rig.cancels == []


class Asgi:
    """One request without a server: what is sent is kept, and sending can be made to fail or to stall."""

    def __init__(self, rig: Rig, body: bytes) -> None:
        self.rig = rig
        self.left = asyncio.Event()
        self.sent: list[Message] = []
        self.fail: BaseException | None = None
        self._body: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.fail is not None and message["type"] == "http.response.body":
            raise self.fail
        self.sent.append(message)

    def run(self) -> Awaitable[None]:
        headers = [(k.encode(), v.encode()) for k, v in AUTH.items()] + [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/chat/stream", "headers": headers, "query_string": b""}
        return self.rig.app(scope, self.receive, self.send)


async def test_the_last_frames_and_the_end_are_one_write(rig: Rig) -> None:
    """A response of its own for the end would cost every stream one more write, and the proxy before it another one."""
    exchange = Asgi(rig, orjson.dumps({"messages": QUESTION}))
    await exchange.run()
    _, *bodies = exchange.sent
    assert bodies[-1]["body"].endswith(b"data: [DONE]\n\n")
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]


async def test_a_send_that_fails_is_a_hang_up(rig: Rig) -> None:
    """Servers that raise OSError for a lost connection end the run quietly."""
    exchange = Asgi(rig, orjson.dumps({"messages": QUESTION}))
    exchange.fail = ConnectionResetError()
    await exchange.run()
    await hung_up(rig)


async def test_a_bug_while_sending_still_closes_the_run(rig: Rig) -> None:
    """An exception that nobody expected passes on, but the run does not leak."""
    exchange = Asgi(rig, orjson.dumps({"messages": QUESTION}))
    exchange.fail = LookupError("a bug")
    with pytest.raises(LookupError):
        await exchange.run()
    await hung_up(rig)


async def test_a_cancelled_request_closes_the_run_and_stays_cancelled(rig: Rig) -> None:
    """Serve cancels a request's task when its client leaves: that too is a hang-up, and it is not swallowed."""
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event())
    task = asyncio.ensure_future(Asgi(rig, orjson.dumps({"messages": QUESTION})).run())
    await rig.agent.executing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await hung_up(rig)


async def test_leaving_with_half_a_body_starts_nothing(rig: Rig) -> None:
    """Nobody is left to answer, and nothing was asked."""
    exchange = Asgi(rig, b"")
    exchange._body = [{"type": "http.disconnect"}]
    await exchange.run()
    assert exchange.sent == []
    assert rig.all_runs == []


async def test_a_block_that_ends_leaves_nothing_behind() -> None:
    """The watching task goes with the block, and an interruption that comes too late does nothing."""

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    before = asyncio.all_tasks()
    async with UntilHangUp(receive) as client:
        (watcher,) = asyncio.all_tasks() - before
    await asyncio.wait([watcher], timeout=1)
    client.interrupt()
    assert watcher.cancelled()
    assert (client.left, _cancelling()) == (False, 0)


async def test_a_receive_that_breaks_is_a_hang_up() -> None:
    """A server whose `receive` raises has lost the connection; the task goes on after the block as if nothing had been."""

    async def receive() -> Message:
        raise KeyError("the proxy has forgotten the request")

    async with UntilHangUp(receive) as client:
        await asyncio.Event().wait()
    assert (client.left, _cancelling()) == (True, 0)


async def test_a_cancellation_from_elsewhere_wins_over_a_hang_up() -> None:
    """Both at once: the client left, but whoever cancelled the task must see it cancelled."""
    left = asyncio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def block() -> None:
        async with UntilHangUp(receive) as client:
            client.interrupt()
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(block())


def _cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_watching_for_a_hang_up_leaves_nothing_behind() -> None:
    """Whoever watches holds what it interrupts, which holds whoever watches."""

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def request() -> None:
        async with UntilHangUp(receive):
            await asyncio.sleep(0)

    with left_over() as garbage:
        await asyncio.get_running_loop().create_task(request())
        await asyncio.sleep(0)
    assert garbage == []
