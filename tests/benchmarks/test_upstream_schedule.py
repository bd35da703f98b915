"""The simulated upstream: faults by a schedule."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest

from benchmarks.upstream import Directive, DirectiveError, Phase, Schedule, Upstream
from benchmarks.upstream.schedule import Progress
from tests.benchmarks.conftest import RawClient, chat

DOWN = Directive(fault="status_503")
SLOW = Directive(first_token_s=3.0)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asked(progress: Progress, times: int) -> list[Directive | None]:
    return [progress.next() for _ in range(times)]


def test_phases_by_time_follow_each_other(clock: Clock) -> None:
    """Each lasts its seconds from the end of the one before, whether asked in between or not; then all is well."""
    progress = Progress(Schedule(phases=(Phase(directive=DOWN, for_s=10), Phase(directive=SLOW, for_s=5))), clock=clock)
    found = []
    for now_s in (1000.0, 1009.9, 1010.0, 1014.9, 1015.0, 9999.0):
        clock.now_s = now_s
        found.append(progress.next())
    assert found == [DOWN, DOWN, SLOW, SLOW, None, None]


def test_phases_by_requests_follow_each_other(clock: Clock) -> None:
    """So many requests each, however long they take; a phase by time begins with the last request before it."""
    phases = (Phase(directive=DOWN, for_requests=2), Phase(directive=SLOW, for_s=5), Phase(for_requests=1))
    progress = Progress(Schedule(phases=phases), clock=clock)
    assert progress.next() is DOWN
    clock.now_s += 100
    assert asked(progress, 2) == [DOWN, SLOW]
    clock.now_s += 4.9
    assert progress.next() is SLOW
    clock.now_s += 0.1
    assert asked(progress, 3) == [None, None, None]


def test_a_loop_begins_again(clock: Clock) -> None:
    """After the last phase the first comes again, by time and by requests, and years without a request cost nothing."""
    timed = Progress(Schedule(phases=(Phase(directive=DOWN, for_s=1), Phase(for_s=2)), loop=True), clock=clock)
    for offset_s, expected in (
        (0.0, DOWN),
        (1.0, None),
        (2.9, None),
        (3.0, DOWN),
        (4.5, None),
        (3e9, DOWN),
        (3e9 + 1, None),
    ):
        clock.now_s = 1000.0 + offset_s
        assert timed.next() == expected
    counted = Progress(
        Schedule(phases=(Phase(directive=DOWN, for_requests=1), Phase(for_requests=2)), loop=True), clock=clock
    )
    assert asked(counted, 6) == [DOWN, None, None, DOWN, None, None]


@pytest.mark.parametrize(
    ("share", "struck"),
    [(1.0, "xxxxxxxxxx"), (0.5, "x.x.x.x.x."), (0.1, "x........."), (0.3, "x..x..x..."), (0.75, "xxx.xxx.xx")],
)
def test_a_share_is_spread_evenly(clock: Clock, share: float, struck: str) -> None:
    """Beginning with the first, the same each time; what is spared is left to the default."""
    progress = Progress(Schedule(phases=(Phase(directive=DOWN, share=share),)), clock=clock)
    assert "".join("x" if found else "." for found in asked(progress, 10)) == struck


@pytest.mark.parametrize("share", [0.07, 0.1, 0.29, 0.55, 0.7, 0.999])
def test_a_share_is_exact(share: float) -> None:
    """Of any number of requests as many as the share says, rounded up, whatever binary fractions make of it."""
    phase = Phase(directive=DOWN, share=share)
    struck = 0
    for index in range(2000):
        struck += phase.strikes(index)
        assert struck == math.ceil(Decimal(str(share)) * (index + 1))


def test_a_phase_without_a_limit_stays(clock: Clock) -> None:
    """The last phase may be for ever."""
    progress = Progress(Schedule(phases=(Phase(for_requests=1), Phase(directive=DOWN))), clock=clock)
    assert progress.next() is None
    clock.now_s += 1e9
    assert asked(progress, 3) == [DOWN] * 3


def test_progress_is_reported(clock: Clock) -> None:
    """The phase, how many requests it had and what is left of its time; no phase once all are over."""
    progress = Progress(Schedule(phases=(Phase(directive=DOWN, for_s=10), Phase(for_requests=1))), clock=clock)
    asked(progress, 2)
    clock.now_s += 4
    assert progress.to_json() == {"phase": 1, "phases": 2, "loop": False, "requests": 2, "left_s": 6.0}
    clock.now_s += 6
    assert progress.to_json() == {"phase": 2, "phases": 2, "loop": False, "requests": 0, "left_s": None}
    progress.next()
    assert progress.to_json()["phase"] is None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (3, "a schedule is a JSON object, not 3"),
        ([], "at least one phase"),
        ({"loop": True}, "phases is a list"),
        ({"phase": []}, "unknown in a schedule: phase"),
        ([{"for_s": 1}, 7], "phase 2: a phase is a JSON object, not 7"),
        ([{"for_s": 1, "until": 3}], "phase 1: unknown in a phase: until"),
        ([{"for_s": 1, "for_requests": 2}], "phase 1: for_s and for_requests exclude each other"),
        ([{"for_s": 0}], "phase 1: for_s is a number of seconds above 0, not 0"),
        ([{"for_s": "3"}], "phase 1: for_s is a number of seconds above 0, not '3'"),
        ([{"for_s": True}], "phase 1: for_s is a number"),
        ([{"for_requests": 1.5}], "phase 1: for_requests is a whole number above 0, not 1.5"),
        ([{"for_s": 1, "share": 0}], "phase 1: share is a number above 0 and at most 1, not 0"),
        ([{"for_s": 1, "share": 1.01}], "phase 1: share is"),
        ([{"for_s": 1, "directive": {"fault": "boredom"}}], "phase 1: no fault 'boredom'; there are: status_400"),
        ([{"for_s": 1, "directive": {"tokens": -1}}], "phase 1: tokens cannot be -1"),
        ([{}, {"for_s": 1}], "phase 1: only the last phase"),
        ({"phases": [{}], "loop": True}, "phase 1: only the last phase, without a loop"),
        ({"phases": [{"for_s": 1}], "loop": 1}, "loop is true or false, not 1"),
    ],
)
def test_what_makes_no_sense_is_refused(written: Any, problem: str) -> None:
    """Every mistake is named with the phase it stands in."""
    with pytest.raises(DirectiveError) as refused:
        Schedule.from_json(written)
    assert problem in str(refused.value)


def test_the_constructor_is_as_strict() -> None:
    """A schedule made in code is held to the same rules."""
    with pytest.raises(DirectiveError):
        Phase(directive=Directive(fault="boredom"))
    with pytest.raises(DirectiveError):
        Schedule(phases=())


def test_a_schedule_is_read_as_it_is_written() -> None:
    """The long form and the list alone."""
    phases = [{"for_s": 10, "directive": {"fault": "stall", "after": 1}}, {"for_requests": 5, "share": 0.5}]
    expected = (Phase(for_s=10, directive=Directive(fault="stall", after=1)), Phase(for_requests=5, share=0.5))
    assert Schedule.from_json(phases) == Schedule(phases=expected)
    assert Schedule.from_json({"phases": phases, "loop": True}) == Schedule(phases=expected, loop=True)


async def statuses(client: RawClient, contents: Sequence[str]) -> list[int]:
    return [(await client.ask(chat(content))).status for content in contents]


async def test_a_schedule_rules_requests_without_a_directive(clock: Clock) -> None:
    """It goes before the default; a directive of the request goes before it, and is not counted by it."""
    schedule = Schedule(
        phases=(Phase(directive=DOWN, for_requests=2), Phase(for_s=10), Phase(directive=DOWN, for_s=10))
    )
    default = Directive(fault="status_500")
    async with Upstream(schedule=schedule, default=default, clock=clock) as upstream:
        client = RawClient(upstream)
        own = Directive(tokens=1).in_message()
        assert await statuses(client, ["a", own, "b", own, "c"]) == [503, 200, 503, 200, 500]
        clock.now_s += 10
        assert await statuses(client, ["d"]) == [503]
        clock.now_s += 10
        assert await statuses(client, ["e"]) == [500]


async def test_a_schedule_begins_with_the_upstream(clock: Clock) -> None:
    """Not when it is made, and not anew when the upstream listens again."""
    upstream = Upstream(schedule=Schedule(phases=(Phase(directive=DOWN, for_s=10),)), clock=clock)
    clock.now_s += 100
    async with upstream:
        assert await statuses(RawClient(upstream), ["a"]) == [503]
    clock.now_s += 10
    async with upstream:
        assert await statuses(RawClient(upstream), ["b"]) == [200]


async def test_a_schedule_is_set_and_reported_over_http(clock: Clock) -> None:
    """PUT /_schedule begins at once, GET /_seen tells how far it is, an empty list takes it away, a mistake is a 400."""
    async with Upstream(clock=clock) as upstream:
        client = RawClient(upstream)

        async def put(body: object) -> int:
            return (await client.ask(orjson.dumps(body), method="PUT", target="/_schedule")).status

        async def reported() -> Any:
            return orjson.loads((await client.ask(b"", method="GET", target="/_seen")).body)["schedule"]

        assert await reported() is None
        assert await put({"phases": [{"for_s": 10, "directive": {"fault": "status_503"}}], "loop": False}) == 200
        clock.now_s += 4
        assert await statuses(client, ["a"]) == [503]
        assert await reported() == {"phase": 1, "phases": 1, "loop": False, "requests": 1, "left_s": 6.0}
        refused = await client.ask(b'[{"for_s": -1}]', method="PUT", target="/_schedule")
        error = orjson.loads(refused.body)["error"]
        assert (refused.status, error["code"]) == (400, "bad_schedule")
        assert error["message"].startswith("phase 1: for_s")
        assert await statuses(client, ["b"]) == [503]
        assert await put([]) == 200
        assert (await statuses(client, ["c"]), await reported()) == ([200], None)


async def test_no_json_is_refused(raw: RawClient) -> None:
    """So is a default whose fault there is not: at once, not with the next request."""
    assert (await raw.ask(b"{", method="PUT", target="/_schedule")).status == 400
    assert (await raw.ask(b"{", method="PUT", target="/_default")).status == 400
    assert (await raw.ask(b'{"fault": "boredom"}', method="PUT", target="/_default")).status == 400
