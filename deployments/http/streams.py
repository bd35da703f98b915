"""The two ways to answer with a run: as an event stream, or as one document once it is over.

Both start the run themselves, so that a client that leaves before the first byte is noticed too, and both close it
whatever happens. Before the first event a failure is raised and becomes a status; afterwards it is in the stream.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.http.failures import failure_response
from deployments.http.hang_up import UntilHangUp
from deployments.protocols.openai_errors import cancelled
from deployments.protocols.types import Answer, Encoder, Streamed, Whole
from services.errors import MainstayError
from services.events import (
    ReasoningDelta,
    Retracted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    TextDelta,
)
from services.runs.live_run import ReadRun, without_retracted
from services.types import EventId, Run

logger = logging.getLogger(__name__)

HEARTBEAT = b": keep-alive\n\n"

StartRun = Callable[[], Awaitable[ReadRun]]


class EventStream:
    """Writes the batches of a run as they come.

    `heartbeat_s`: a comment is sent when nothing else was for so long. `write_timeout_s`: a client that takes longer to
    accept one write is treated as gone; the server's send buffer is all that is ever kept for it.
    """

    def __init__(
        self, *, start: StartRun, reply: Streamed, created: int, heartbeat_s: float, write_timeout_s: float
    ) -> None:
        self._start = start
        self._reply = reply
        self._created = created
        self._heartbeat_s = heartbeat_s
        self._write_timeout_s = write_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: ReadRun | None = None
        try:
            async with UntilHangUp(receive) as client:
                live = await self._start()
                pulse = Pulse(
                    send=send, hang_up=client.interrupt, heartbeat_s=self._heartbeat_s, timeout_s=self._write_timeout_s
                )
                try:
                    await self._write(live, self._reply.encoder(live.run, self._created), pulse, send)
                finally:
                    pulse.stop()
        finally:
            if live is not None:
                await live.aclose()

    async def _write(self, live: ReadRun, encoder: Encoder, pulse: "Pulse", send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": stream_headers(live.run)})
        pulse.start()
        encode, clock = encoder.encode, pulse.clock
        over = False
        try:
            async for batch in live:
                body = encode(batch)
                over = batch.terminal or encoder.over
                if body or over:
                    pulse.sending_since = clock()
                    try:
                        # The last frames and the end of the response are one write.
                        await send({"type": "http.response.body", "body": body, "more_body": not over})
                    except OSError:  # how a server may say that the connection is gone
                        return
                    pulse.sending_since = None
                    pulse.last_sent = clock()
                if over:
                    return
        except MainstayError as error:  # of a run that is only read here: cut off, its reader comes back for the status
            logger.info("run %s: it cannot be read on: %s", live.run.id, error.code)
        pulse.stop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Pulse:
    """Watches a stream's writes with one timer, at no cost per write but two looks at the clock.

    Every write is a whole number of frames, so a heartbeat can go between any two.
    """

    def __init__(self, *, send: Send, hang_up: Callable[[], None], heartbeat_s: float, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.sending_since: float | None = None
        self.last_sent = 0.0
        self._loop = loop
        self._send = send
        self._hang_up = hang_up
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.last_sent = self.clock()
        self._timer = self._loop.call_later(min(self._heartbeat_s, self._timeout_s), self._look)

    def stop(self) -> None:
        """Send nothing more. Until `start` and after this it costs and does nothing."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()

    def _look(self) -> None:
        now = self.clock()
        beating = self._beat is not None and not self._beat.done()
        since = self.last_sent if beating and self.sending_since is None else self.sending_since
        if since is not None and now - since >= self._timeout_s:
            self._hang_up()
            return
        due = now + min(self._heartbeat_s, self._timeout_s)
        if since is None:
            due = min(due, self.last_sent + self._heartbeat_s)
            if due <= now:
                self.last_sent = now
                self._beat = self._loop.create_task(self._send_heartbeat())
                due = now + self._heartbeat_s
        self._timer = self._loop.call_at(due, self._look)

    async def _send_heartbeat(self) -> None:
        try:
            await self._send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
        except OSError:
            self._hang_up()


class WholeAnswer:
    """Reads a run to its end and answers with one document. A client that leaves meanwhile has hung up."""

    def __init__(self, *, start: StartRun, reply: Whole, created: int) -> None:
        self._start = start
        self._reply = reply
        self._created = created

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: ReadRun | None = None
        response: Response | None = None
        try:
            async with UntilHangUp(receive):
                live = await self._start()
                response = self._respond(live.run, await _collect(live))
        finally:
            if live is not None:
                await live.aclose()
        if response is not None:
            await response(scope, receive, send)

    def _respond(self, run: Run, outcome: Answer | RunFailed | RunCancelled) -> Response:
        if isinstance(outcome, RunFailed):
            return failure_response(outcome.failure, run_headers(run))
        if isinstance(outcome, RunCancelled):
            return failure_response(cancelled(outcome.reason), run_headers(run))
        body = self._reply.render(run, self._created, outcome)
        return Response(body, media_type="application/json", headers=run_headers(run))


Said = tuple[EventId, TextDelta | ReasoningDelta]


async def _collect(live: ReadRun) -> Answer | RunFailed | RunCancelled:
    said: list[Said] = []
    async for batch in live:
        for seq, event in enumerate(batch.events, batch.first_seq):
            match event:
                case TextDelta() | ReasoningDelta():
                    said.append((EventId(attempt=batch.attempt, seq=seq), event))
                case RunRestarted(keep=keep):
                    said = [(at, delta) for at, delta in said if keep is not None and at <= keep]
                case Retracted():
                    said = _without(said, event)
                case RunCompleted() | RunInterrupted():
                    return _answer([delta for _, delta in said], event)
                case RunFailed() | RunCancelled():
                    return event
                case _:
                    pass
    raise RuntimeError("a run that was read ended without a terminal event")


def _without(said: Sequence[Said], event: Retracted) -> list[Said]:
    """Return what was said without the part of the answer that is taken back."""
    answer = [(at, delta.text) for at, delta in said if _answers(delta)]
    left = dict(without_retracted(answer, event))
    return [(at, replace(delta, text=left.get(at, delta.text))) for at, delta in said]


def _answers(delta: TextDelta | ReasoningDelta) -> bool:
    """Whether it is a part of the answer; a plan or a specialist's work is not."""
    return isinstance(delta, TextDelta) and delta.source is None


def _answer(said: Sequence[TextDelta | ReasoningDelta], ending: RunCompleted | RunInterrupted) -> Answer:
    """Put together what was said."""
    text: list[str] = []
    reasoning: list[str] = []
    for delta in said:
        (text if _answers(delta) else reasoning).append(delta.text)
    return Answer(text="".join(text), reasoning="".join(reasoning), ending=ending)


def run_headers(run: Run) -> dict[str, str]:
    """Where the run can be found again, and its thread unless that is ephemeral: nobody can come back to it."""
    thread = {} if run.ephemeral else {"x-thread-id": str(run.thread_id)}
    return {"x-run-id": str(run.id), **thread, "content-location": f"/runs/{run.id}"}


def stream_headers(run: Run) -> list[tuple[bytes, bytes]]:
    """Headers of an event stream; `x-accel-buffering` asks proxies not to collect it."""
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        *((name.encode(), value.encode()) for name, value in run_headers(run).items()),
    ]
