"""What happens to requests without a directive of their own, phase after phase: an outage and its end, as data.

{"phases": [{"for_s": 10, "directive": {"fault": "status_503"}},
            {"for_requests": 5, "directive": {"fault": "stall"}},
            {"for_s": 60, "share": 0.2, "directive": {"fault": "reset"}}],
 "loop": false}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from benchmarks.upstream.directive import Directive, DirectiveError
from benchmarks.upstream.faults import fault_of

_PHASE = {"for_s", "for_requests", "share", "directive"}
_SCHEDULE = {"phases", "loop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One directive for a time, or for a number of requests. Raises DirectiveError when it makes no sense."""

    directive: Directive | None = None
    """None leaves the requests to the upstream's default."""
    for_s: float | None = None
    """Seconds, from the end of the phase before."""
    for_requests: int | None = None
    """Requests that come without a directive of their own. With neither limit the phase is the last and has no end."""
    share: float = 1.0
    """So much of the requests gets the directive, evenly spread and beginning with the first: 0.5 is every other one. The rest
    is left to the default."""

    def __post_init__(self) -> None:
        if self.for_s is not None and self.for_requests is not None:
            raise DirectiveError("for_s and for_requests exclude each other")
        if self.for_s is not None and not (_is_number(self.for_s) and self.for_s > 0):
            raise DirectiveError(f"for_s is a number of seconds above 0, not {self.for_s!r}")
        if self.for_requests is not None and not (type(self.for_requests) is int and self.for_requests > 0):
            raise DirectiveError(f"for_requests is a whole number above 0, not {self.for_requests!r}")
        if not (_is_number(self.share) and 0 < self.share <= 1):
            raise DirectiveError(f"share is a number above 0 and at most 1, not {self.share!r}")
        if self.directive is not None:
            fault_of(self.directive)

    @property
    def endless(self) -> bool:
        return self.for_s is None and self.for_requests is None

    def strikes(self, index: int) -> bool:
        """Whether the request of this index, from 0, gets the directive."""
        share = Fraction(str(self.share))
        return -(-(index + 1) * share // 1) > -(-index * share // 1)

    @classmethod
    def from_json(cls, value: object) -> "Phase":
        """Raises DirectiveError."""
        fields = _known(value, _PHASE, what="a phase")
        directive = fields.get("directive")
        return cls(**{**fields, "directive": None if directive is None else Directive.from_json(directive)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Phases in order; afterwards the upstream's default, or (`loop`) the first phase again. Raises DirectiveError."""

    phases: tuple[Phase, ...]
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.phases:
            raise DirectiveError("a schedule has at least one phase")
        if type(self.loop) is not bool:
            raise DirectiveError(f"loop is true or false, not {self.loop!r}")
        for number, phase in enumerate(self.phases, start=1):
            if phase.endless and (self.loop or number < len(self.phases)):
                raise DirectiveError(
                    f"phase {number}: only the last phase, without a loop, has no for_s or for_requests"
                )

    @classmethod
    def from_json(cls, value: object) -> "Schedule":
        """Of `{"phases": [...], "loop": false}` or of the list alone. Raises DirectiveError that names the phase."""
        fields = _known({"phases": value} if isinstance(value, list) else value, _SCHEDULE, what="a schedule")
        listed = fields.get("phases")
        if not isinstance(listed, list):
            raise DirectiveError("phases is a list")
        phases = []
        for number, item in enumerate(listed, start=1):
            try:
                phases.append(Phase.from_json(item))
            except DirectiveError as problem:
                raise DirectiveError(f"phase {number}: {problem}") from problem
        return cls(phases=tuple(phases), loop=fields.get("loop", False))


class Progress:
    """How far a schedule is. Moves on when it is asked, by requests and by the clock."""

    def __init__(self, schedule: Schedule, *, clock: Callable[[], float]) -> None:
        """Begins now; `clock` is in seconds and monotonic."""
        self._schedule = schedule
        self._clock = clock
        self._index = 0
        self._entered_s = clock()
        self._requests = 0

    def next(self) -> Directive | None:
        """The directive of one more request; None leaves it to the default."""
        phase = self._phase()
        if phase is None:
            return None
        struck = phase.strikes(self._requests)
        self._requests += 1
        if phase.for_requests == self._requests:
            self._enter(self._index + 1, self._clock())
        return phase.directive if struck else None

    def to_json(self) -> dict[str, Any]:
        """`phase` counts from 1 and is null when all are over."""
        phase = self._phase()
        left_s = None
        if phase is not None and phase.for_s is not None:
            left_s = self._entered_s + phase.for_s - self._clock()
        return {
            "phase": None if phase is None else self._index + 1,
            "phases": len(self._schedule.phases),
            "loop": self._schedule.loop,
            "requests": self._requests,
            "left_s": left_s,
        }

    def _phase(self) -> Phase | None:
        now_s = self._clock()
        self._skip_rounds(now_s)
        while self._index < len(self._schedule.phases):
            phase = self._schedule.phases[self._index]
            if phase.for_s is None or now_s < self._entered_s + phase.for_s:
                return phase
            self._enter(self._index + 1, self._entered_s + phase.for_s)
        return None

    def _skip_rounds(self, now_s: float) -> None:
        """Whole rounds of a loop that nobody asked in are not walked through."""
        lengths = [phase.for_s for phase in self._schedule.phases]
        if self._schedule.loop and None not in lengths:
            round_s = sum(length for length in lengths if length is not None)
            self._entered_s += max(0.0, (now_s - self._entered_s) // round_s) * round_s

    def _enter(self, index: int, at_s: float) -> None:
        self._index = index % len(self._schedule.phases) if self._schedule.loop else index
        self._entered_s = at_s
        self._requests = 0


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _known(value: object, names: set[str], *, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DirectiveError(f"{what} is a JSON object, not {value!r}")
    if unknown := value.keys() - names:
        raise DirectiveError(f"unknown in {what}: {', '.join(sorted(unknown))}")
    return value
