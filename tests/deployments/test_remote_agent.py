"""An agent's stream through a Serve handle: what comes of it, and when it is cancelled, which Serve does not do by itself."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from deployments.remote import Handle, RemoteAgent
from services.errors import AgentLost, MainstayError, NotFound, Overloaded
from services.events import EventBatch, RunCompleted, TextDelta
from services.runs.multiplex import Frame
from services.telemetry.metrics import REQUESTS_SHED, UNMEASURED, Meter
from services.types import RunTicket, Usage
from tests.services.telemetry.fakes import KeptMeter

RUN = uuid4()
HELLO = EventBatch(attempt=1, first_seq=0, events=(TextDelta(text="Hello."),))
OVER = EventBatch(attempt=1, first_seq=1, events=(RunCompleted(finish_reason="stop", usage=Usage(), duration_s=1.0),))
TEXT = Frame(batches=((RUN, HELLO),))
END = Frame(batches=((RUN, OVER),))
GONE = NotFound("There is no such run.")


class Response:
    """What a handle's method returns with stream=True: items, or an error in place of one."""

    def __init__(self, items: Sequence[object]) -> None:
        self._items = list(items)
        self.cancelled = False

    def options(self, **_: Any) -> "Response":
        return self

    def remote(self, ticket: RunTicket) -> "Response":
        return self

    def __aiter__(self) -> "Response":
        return self

    async def __anext__(self) -> object:
        if not self._items:
            raise StopAsyncIteration
        item = self._items.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self) -> None:
        self.cancelled = True


async def read(response: Response, *, frames: int = 99, meter: Meter = UNMEASURED) -> list[Frame]:
    """Read so many frames, and leave."""
    agent, found = RemoteAgent(cast(Handle, response), meter), list[Frame]()
    async with aclosing(agent.execute(RunTicket(run_id=RUN, remaining_s=9.0))) as stream:
        async for frame in stream:
            found.append(frame)
            if len(found) == frames:
                break
    return found


@pytest.mark.parametrize("frames", [1, 2])
async def test_a_stream_that_is_left_is_cancelled(frames: int) -> None:
    """The agent would go on writing to nobody; one that has come to its end does not mind."""
    response = Response([TEXT, END])
    assert await read(response, frames=frames) == [TEXT, END][:frames]
    assert response.cancelled


@pytest.mark.parametrize(
    ("item", "raised"),
    [
        (GONE.to_failure(), NotFound),
        (RayActorError(), AgentLost),
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), Overloaded),
    ],
)
async def test_what_goes_wrong_is_ours(item: object, raised: type[MainstayError]) -> None:
    response = Response([TEXT, item])
    with pytest.raises(raised):
        await read(response)
    assert response.cancelled


@pytest.mark.parametrize(
    ("item", "counted"),
    [
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), [(1.0, {"priority": "new_turn"})]),
        (Overloaded("The agent has counted it.", retry_after_s=1.0).to_failure(), []),
        (RayActorError(), []),
    ],
)
async def test_a_turn_that_no_agent_has_room_for_is_counted_once(item: object, counted: list[object]) -> None:
    """Nobody else sees what Serve's own queue refuses, and availability is of that too."""
    meter = KeptMeter()
    with pytest.raises(MainstayError):
        await read(Response([item]), meter=meter)
    assert meter.of(REQUESTS_SHED) == counted
