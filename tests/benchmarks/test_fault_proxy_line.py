"""The fault proxy: one direction, with the time in hand."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from benchmarks.fault_proxy import Switches
from benchmarks.fault_proxy.line import Line

FIN = b"<FIN>"


@dataclass(slots=True, kw_only=True, eq=False)
class FakeTimer:
    """A call that only the fake loop makes."""

    when_s: float
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], object], /) -> FakeTimer:
        self._timers.append(FakeTimer(when_s=when, callback=callback))
        return self._timers[-1]

    def pass_to(self, now_s: float) -> None:
        """Make what calls are due until then, each at its own time."""
        while waiting := [timer for timer in self._timers if not timer.cancelled and timer.when_s <= now_s]:
            first = min(waiting, key=lambda timer: timer.when_s)
            self._timers.remove(first)
            self.now_s = max(self.now_s, first.when_s)
            first.callback()
        self.now_s = now_s


class Ends:
    """Both ends of a line."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.written: list[tuple[float, bytes]] = []
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written.append((round(self.loop.now_s, 6), data))

    def write_eof(self) -> None:
        self.write(FIN)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def text(self) -> bytes:
        return b"".join(data for _, data in self.written)


class Rig:
    """A line between two ends."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.ends = Ends(loop)
        self.moved: list[int] = []
        self.ended = 0
        self.line = Line(loop=loop, moved=self.moved.append, ended=self._end)
        self.line.comes_from(self.ends)
        self.line.goes_to(self.ends)

    def _end(self) -> None:
        self.ended += 1

    def rule(self, *, latency_s: float = 0.0, bytes_per_s: float | None = None, frozen: bool = False) -> None:
        self.line.rule(latency_s=latency_s, bytes_per_s=bytes_per_s, frozen=frozen)


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def rig(loop: FakeLoop) -> Rig:
    return Rig(loop)


def test_without_rules_bytes_pass_at_once(rig: Rig) -> None:
    """In order, counted, the FIN last."""
    rig.line.feed(b"ab")
    rig.line.feed(b"c")
    rig.line.feed_end()
    assert rig.ends.written == [(0.0, b"ab"), (0.0, b"c"), (0.0, FIN)]
    assert (rig.moved, rig.ended) == ([2, 1], 1)


def test_latency_delays_each_piece_by_the_same(rig: Rig) -> None:
    """It adds to every piece and to the FIN, and takes nothing from the throughput."""
    rig.rule(latency_s=0.5)
    for now_s, data in ((0.0, b"a"), (0.1, b"b"), (0.2, b"c")):
        rig.loop.pass_to(now_s)
        rig.line.feed(data)
    rig.line.feed_end()
    rig.loop.pass_to(5.0)
    assert rig.ends.written == [(0.5, b"a"), (0.6, b"b"), (0.7, b"c"), (0.7, FIN)]


def test_latency_that_falls_frees_what_is_under_way(rig: Rig) -> None:
    """The order stays; what is overdue by the new rule goes at once."""
    rig.rule(latency_s=10.0)
    rig.line.feed(b"a")
    rig.loop.pass_to(1.0)
    rig.line.feed(b"b")
    rig.rule(latency_s=0.5)
    rig.loop.pass_to(2.0)
    assert rig.ends.written == [(1.0, b"a"), (1.5, b"b")]


def test_latency_that_rises_holds_back_what_is_under_way(rig: Rig) -> None:
    """What has not gone yet waits for the new time."""
    rig.rule(latency_s=0.5)
    rig.line.feed(b"a")
    rig.rule(latency_s=2.0)
    rig.loop.pass_to(3.0)
    assert rig.ends.written == [(2.0, b"a")]


@pytest.mark.parametrize(
    ("bytes_per_s", "size", "seconds"), [(1000, 1000, 0.98), (100_000, 50_000, 0.48), (10, 5, 0.4)]
)
def test_a_throttle_keeps_its_rate(rig: Rig, bytes_per_s: float, size: int, seconds: float) -> None:
    """In slices of 20 ms, or byte by byte where that is less than one; the first goes at once."""
    rig.rule(bytes_per_s=bytes_per_s)
    rig.line.feed(b"x" * size)
    assert 0 < len(rig.ends.text) < size
    rig.loop.pass_to(seconds - 0.001)
    assert len(rig.ends.text) < size
    rig.loop.pass_to(seconds + 0.001)
    assert len(rig.ends.text) == size


def test_a_throttle_makes_up_for_late_timers_only(rig: Rig) -> None:
    """A timer a little late costs nothing; after a long standstill there is no burst beyond a tenth of a second."""
    rig.rule(bytes_per_s=1000)
    rig.line.feed(b"x" * 3000)
    rig.loop.now_s = 1.0
    rig.loop.pass_to(1.0)
    assert len(rig.ends.text) <= 20 + 120
    rig.loop.pass_to(2.0)
    assert 1100 <= len(rig.ends.text) <= 1140


def test_lifting_a_throttle_lets_the_rest_go(rig: Rig) -> None:
    """At once, and whole."""
    rig.rule(bytes_per_s=1)
    rig.line.feed(b"abcd")
    assert rig.ends.text == b"a"
    rig.rule()
    assert rig.ends.text == b"abcd"


def test_latency_and_throttle_add_up(rig: Rig) -> None:
    """First the wait, then the rate."""
    rig.rule(latency_s=1.0, bytes_per_s=1)
    rig.line.feed(b"ab")
    rig.loop.pass_to(5.0)
    assert rig.ends.written == [(1.0, b"a"), (2.0, b"b")]


def test_nothing_passes_while_it_is_frozen(rig: Rig) -> None:
    """Nor the FIN; afterwards all of it."""
    rig.rule(frozen=True)
    rig.line.feed(b"a")
    rig.line.feed_end()
    rig.loop.pass_to(100.0)
    assert rig.ends.written == []
    rig.rule()
    assert rig.ends.written == [(100.0, b"a"), (100.0, FIN)]


def test_a_reader_that_pauses_is_waited_for(rig: Rig) -> None:
    """Nothing is written in between, nor while the transport says that it may be: only in the loop's next turn."""
    rig.line.pause()
    rig.line.feed(b"a")
    assert rig.ends.written == []
    rig.line.resume()
    assert rig.ends.written == []
    rig.loop.pass_to(0.0)
    assert rig.ends.text == b"a"


def test_what_is_held_is_bounded(rig: Rig) -> None:
    """Beyond a megabyte the sender is no longer read, until half of it has gone."""
    rig.rule(frozen=True)
    for _ in range(17):
        rig.line.feed(b"x" * 65_536)
    assert not rig.ends.reading
    rig.rule(bytes_per_s=100_000)
    assert not rig.ends.reading
    rig.loop.pass_to(4.0)
    assert not rig.ends.reading
    rig.loop.pass_to(7.0)
    assert rig.ends.reading


def test_what_came_before_there_was_an_end_is_kept(loop: FakeLoop) -> None:
    """A client may speak before the target has been reached."""
    ends = Ends(loop)
    line = Line(loop=loop, moved=lambda _size: None, ended=lambda: None)
    line.feed(b"a")
    assert ends.written == []
    line.goes_to(ends)
    assert ends.text == b"a"


def test_a_line_that_is_dropped_is_silent(rig: Rig) -> None:
    """What was under way is lost, and no timer wakes it."""
    rig.rule(latency_s=1.0)
    rig.line.feed(b"a")
    rig.line.drop()
    rig.loop.pass_to(5.0)
    assert rig.ends.written == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"latency_to_target_s": -1}, "latency_to_target_s is a number of seconds, not -1"),
        ({"latency_to_client_s": "1"}, "latency_to_client_s is a number"),
        ({"latency_to_client_s": float("inf")}, "latency_to_client_s is a number"),
        ({"bytes_per_s": 0}, "bytes_per_s is a number above 0, or null, not 0"),
        ({"black_hole": 1}, "black_hole is true or false, not 1"),
        ({"delay": 1}, "no switch delay"),
    ],
)
def test_switches_that_make_no_sense_are_refused(changes: dict[str, object], problem: str) -> None:
    """With the name and the value."""
    with pytest.raises(ValueError, match=problem):
        Switches().changed(changes)
