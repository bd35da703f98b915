"""One series and all that is known of it, as it is stored between two answers."""

from dataclasses import dataclass, field, replace
from functools import cache
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from evaluation.drift.level import Change, Level, LevelPolicy, Mood, What
from evaluation.drift.windows import WindowPolicy, Windows
from services.judged import Judged, Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """`examples` is how many runs an alert names: the worst of the last `remembered` answers."""

    level: LevelPolicy = field(default_factory=LevelPolicy)
    windows: WindowPolicy = field(default_factory=WindowPolicy)
    examples: int = 5
    remembered: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    run_id: UUID
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of a series after its last answer. `compared_with` names the version that its reference is from, if it is
    not its own; `last` are its latest answers.
    """

    level: Level = field(default_factory=Level)
    windows: Windows = field(default_factory=Windows)
    compared_with: str = ""
    last: tuple[Example, ...] = ()

    def observe(self, judged: Judged, policy: DriftPolicy) -> tuple["Watched", tuple[Change, ...]]:
        """Return what is known after one more answer, and what has changed. Only a score's mean is watched.

        While the mean is known to have changed nobody is told that the distribution has as well.
        """
        example = Example(run_id=judged.run_id, value=judged.value)
        watched = replace(self, last=(*self.last, example)[-policy.remembered :])
        changes: list[Change] = []
        if judged.series.measure is Measure.SCORE:
            level, change = self.level.observe(judged.value, judged.at, policy.level)
            watched = replace(watched, level=level)
            changes += [] if change is None else [change]
        if watched.level.mood is Mood.CALM:
            windows, change = self.windows.observe(judged.value, judged.at, policy.windows)
            watched = replace(watched, windows=windows)
            changes += [] if change is None else [change]
        elif self.windows.recent:
            watched = replace(watched, windows=replace(self.windows, recent=(), since=None))
        return watched, tuple(changes)

    def successor(self, version: str) -> "Watched":
        """Return what a new version's series begins with: this one's reference, so that the change of version is tested.

        `version` is this one's name.
        """
        return Watched(level=self.level.released(), windows=self.windows.released(), compared_with=version)

    def released(self) -> "Watched":
        """Return the same without its episodes."""
        return replace(self, level=self.level.released(), windows=self.windows.released())

    def ready(self, policy: DriftPolicy) -> bool:
        """Whether there is a reference that another version can be compared with."""
        return (self.level.reference.count or len(self.windows.reference)) >= policy.level.warm_up

    def pressure(self, policy: DriftPolicy) -> float:
        """Return how near to an alert it is: 1 is one."""
        return max(self.level.pressure(policy.level), self.windows.pressure(policy.windows))

    def examples(self, change: Change, policy: DriftPolicy) -> tuple[UUID, ...]:
        """Return the runs to look at: the lowest of the last after a fall, the highest after a rise, else the latest."""
        if change.what in (What.FELL, What.COLLAPSED):
            shown = sorted(self.last, key=lambda example: example.value)
        elif change.what is What.ROSE:
            shown = sorted(self.last, key=lambda example: -example.value)
        else:
            shown = list(reversed(self.last))
        return tuple(dict.fromkeys(example.run_id for example in shown))[: policy.examples]

    def to_json(self) -> str:
        return _adapter().dump_json(self).decode()

    @staticmethod
    def from_json(stored: str) -> "Watched | None":
        """Return what was stored; None for what this code cannot read, and its series then begins anew."""
        try:
            return _adapter().validate_json(stored)
        except ValidationError:
            return None


@cache
def _adapter() -> TypeAdapter[Watched]:
    return TypeAdapter(Watched)
