"""The client that the other tests of this package trust, against streams that are cut, doubled and restarted on purpose."""

from collections.abc import AsyncIterator, Callable

import httpx
import orjson
import pytest

from tests.e2e.chaos.resuming import Reading
from tests.e2e.chaos.story import Story, StoryBroken, told
from tests.e2e.streams import Event

RUN_ID = "0199-run"
DONE = b"data: [DONE]\n\n"


def event(event_id: str, name: str = "text_delta", **data: object) -> Event:
    return Event(id=event_id, name=name, data=data or {"text": event_id})


def restarted(event_id: str, kept: str | None) -> Event:
    return event(event_id, "restarted", **{"attempt": int(event_id.partition("-")[0]), "from": kept})


def frame(shown: Event) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (shown.id.encode(), shown.name.encode(), orjson.dumps(shown.data))


STARTED = event("1-0", "run_started", run_id=RUN_ID)
COMPLETED = event("1-3", "run_completed", finish_reason="stop")
WHOLE = [STARTED, event("1-1"), event("1-2"), COMPLETED]


class Cut(httpx.AsyncByteStream):
    """A body whose connection breaks at its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        raise httpx.RemoteProtocolError("cut")


def answer(*shown: Event, cut: bool = False) -> httpx.Response:
    body = b": keep-alive\n\n" + b"".join(map(frame, shown))
    return (
        httpx.Response(200, headers={"x-run-id": RUN_ID}, stream=Cut(body))
        if cut
        else httpx.Response(200, headers={"x-run-id": RUN_ID}, content=body + DONE)
    )


async def read(*answers: httpx.Response | httpx.TransportError) -> tuple[Reading, list[httpx.Request]]:
    """Have a client read a run from a server that answers so, one connection after another."""
    asked: list[httpx.Request] = []
    left = iter(answers)

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        given = next(left)
        if isinstance(given, httpx.TransportError):
            raise given
        return given

    async def at_once(_: float) -> None: ...

    ticks = iter(range(100))
    transport = httpx.MockTransport(serve)
    async with httpx.AsyncClient(transport=transport, base_url="http://mainstay") as client:
        reading = Reading(client=client, body={}, key="k", clock=lambda: float(next(ticks)), sleep=at_once)
        return await reading.read(), asked


def ids(story: Story) -> list[str]:
    return [held.id for held in story.events]


async def test_a_stream_that_holds_is_read_once() -> None:
    """One connection, every event, no break and no gap."""
    reading, asked = await read(answer(*WHOLE))
    assert reading.story.events == WHOLE
    assert (len(asked), reading.breaks, reading.gaps_s) == (1, [], [])


async def test_a_cut_stream_goes_on_behind_what_was_seen() -> None:
    """The second connection asks for the run by its id, from behind the last event; the silence between is measured."""
    reading, asked = await read(answer(*WHOLE[:2], cut=True), answer(*WHOLE[2:]))
    assert reading.story.events == WHOLE
    assert (asked[1].url.path, asked[1].headers["last-event-id"]) == (f"/runs/{RUN_ID}/stream", "1-1")
    assert (len(reading.breaks), reading.gaps_s) == (1, [1.0])


async def test_nobody_there_is_asked_again() -> None:
    """Refused connections, 404 and 5xx are no answers; the request goes out again with its key until the run is known."""
    reading, asked = await read(
        httpx.ConnectError("refused"), httpx.Response(404), httpx.Response(503), answer(cut=True), answer(*WHOLE)
    )
    assert reading.story.events == WHOLE
    assert [request.headers.get("idempotency-key") for request in asked] == ["k"] * 4 + [None]
    assert "last-event-id" not in asked[-1].headers


async def test_a_refusal_is_no_break() -> None:
    """What the server says no to is not tried again."""
    with pytest.raises(AssertionError, match="409"):
        await read(httpx.Response(409, text="busy"))


async def test_half_an_event_is_none() -> None:
    """An event that was cut off is read anew."""
    cut = httpx.Response(
        200, headers={"x-run-id": RUN_ID}, stream=Cut(frame(STARTED) + b"id: 1-1\nevent: text_delta\n")
    )
    reading, asked = await read(cut, answer(*WHOLE[1:]))
    assert reading.story.events == WHOLE
    assert asked[1].headers["last-event-id"] == "1-0"


async def test_a_restart_voids_what_it_does_not_keep() -> None:
    """Of the first attempt what `from` names is kept, and the rest comes anew."""
    again = [restarted("2-0", "1-1"), event("2-1"), event("2-2", "run_completed")]
    reading, _ = await read(answer(*WHOLE[:3], *again))
    assert ids(reading.story) == ["1-0", "1-1", "2-0", "2-1", "2-2"]
    assert reading.story.text == "1-12-1"
    assert (reading.story.restarts, reading.gaps_s) == (1, [1.0])


async def test_a_restart_that_keeps_nothing_begins_anew() -> None:
    """Without `from` nothing that was shown holds, whichever attempt it was of."""
    story = told(
        [*WHOLE[:3], restarted("2-0", "1-2"), event("2-1"), restarted("3-0", None), event("3-1", "run_started")]
    )
    assert ids(story) == ["3-0", "3-1"]


async def test_attempts_that_said_nothing_are_no_gap() -> None:
    """A replica may die before its first event is stored; a run that is given up ends in an attempt of its own."""
    assert ids(told([STARTED, restarted("4-0", "1-0")])) == ["1-0", "4-0"]
    assert told([STARTED, event("3-0", "run_failed")]).ended
    assert ids(told([restarted("2-0", None)])) == ["2-0"]


BROKEN: dict[str, Callable[[], list[Event]]] = {
    "lost": lambda: [STARTED, event("1-2")],
    "doubled": lambda: [STARTED, event("1-1"), event("1-1")],
    "first one lost": lambda: [event("1-1")],
    "out of order": lambda: [STARTED, event("1-1"), STARTED],
    "spliced": lambda: [STARTED, event("1-1"), event("2-0")],
    "spliced further on": lambda: [STARTED, event("1-1"), event("2-2")],
    "an older attempt": lambda: [STARTED, restarted("2-0", "1-0"), event("1-1")],
    "restart not at its beginning": lambda: [STARTED, restarted("2-1", "1-0")],
    "restart of another attempt": lambda: [STARTED, event("2-0", "restarted", **{"attempt": 3, "from": "1-0"})],
    "keeps what never came": lambda: [STARTED, restarted("2-0", "1-1")],
    "keeps what was void": lambda: [*WHOLE[:3], restarted("2-0", "1-1"), restarted("3-0", "1-2")],
    "begun anew in the middle": lambda: [STARTED, restarted("2-0", None), event("2-1")],
    "after the end": lambda: [*WHOLE, event("1-4")],
}


@pytest.mark.parametrize("shown", BROKEN.values(), ids=BROKEN)
async def test_what_cannot_be_is_noticed(shown: Callable[[], list[Event]]) -> None:
    """Every way in which events can be lost, doubled or spliced breaks the story."""
    with pytest.raises(StoryBroken):
        told(shown())
