"""One series and all that is known of it, as it is stored between two answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError

from evaluation.criteria import CRITERIA
from evaluation.criteria.types import Scale
from evaluation.drift.level import Change, Level, LevelPolicy, Mood, What
from evaluation.drift.windows import WindowPolicy, Windows
from services.judged import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a criterion is watched. Without a `level` it has no mean worth a chart, only a distribution. `better` says which way
    is up; `min_deviation` is what its values are taken to differ by at least.
    """

    level: bool = True
    better: Literal["higher", "lower"] = "higher"
    min_deviation: float = 0.25


DISTRIBUTION = Watch(level=False)


def watch_of(scale: Scale) -> Watch:
    """Return how values of a scale are watched: by their mean where there is a bound, and by their distribution alone else.

    They are taken to differ by a fortieth of the scale at least. Where neither way is up, more counts as worse, since it is a
    rise of what is rare, as a refusal, that somebody wants to know of.
    """
    if scale.highest is None:
        return DISTRIBUTION
    return Watch(better=scale.better or "lower", min_deviation=(scale.highest - scale.lowest) / 40)


def _registered() -> Mapping[str, Watch]:
    return {name: watch_of(make().scale) for name, make in CRITERIA.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """`watches` are by criterion, those that are registered. `examples` is how many runs an alert names: the worst of the last
    `remembered` answers.
    """

    level: LevelPolicy = field(default_factory=LevelPolicy)
    windows: WindowPolicy = field(default_factory=WindowPolicy)
    watches: Mapping[str, Watch] = field(default_factory=_registered)
    examples: int = 5
    remembered: int = 25

    def watch(self, criterion: str) -> Watch:
        """Return how a criterion is watched; of one that nobody knows any more only the distribution is."""
        return self.watches.get(criterion, DISTRIBUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    run_id: UUID
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known of a series after its last answer. `compared_with` names the version that its reference is from, if it is
    not its own; `last` are its latest answers. `pressure` is how near to an alert it is: 0 to 1, and 1 during an episode
    that is not a rise.

    It is stored as it stands here. `version` is that of its shape, all of the values in it included, and changes with it; what
    was stored before there was one is of the first.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    level: Level = field(default_factory=Level)
    windows: Windows = field(default_factory=Windows)
    compared_with: str = ""
    last: tuple[Example, ...] = ()
    pressure: float = 0.0

    def observe(self, judged: Judged, policy: DriftPolicy) -> tuple["Watched", tuple[Change, ...]]:
        """Return what is known after one more answer, and what has changed.

        While the mean is known to have changed nobody is told that the distribution has as well; and where it is better, which
        becomes what is usual, the distribution is learnt anew with it.
        """
        watch = policy.watch(judged.series.criterion)
        example = Example(run_id=judged.run_id, value=judged.value)
        watched = replace(self, last=(*self.last, example)[-policy.remembered :])
        changes: list[Change] = []
        if watch.level:
            level, change = _observed(self.level, judged, watch, policy.level)
            watched = replace(watched, level=level)
            changes += [] if change is None else [change]
        if watched.level.mood is Mood.CALM:
            windows, change = self.windows.observe(judged.value, judged.at, policy.windows)
            watched = replace(watched, windows=windows)
            changes += [] if change is None else [change]
        elif watched.level.mood is Mood.BETTER:
            watched = replace(watched, windows=Windows())
        elif self.windows.recent:
            watched = replace(watched, windows=replace(self.windows, recent=(), since=None))
        pressure = max(watched.level.pressure(policy.level), watched.windows.pressure(policy.windows))
        return replace(watched, pressure=pressure), tuple(changes)

    def successor(self, version: str) -> "Watched":
        """Return what a new version's series begins with: this one's reference, so that the change of version is tested.

        `version` is this one's name.
        """
        return Watched(level=self.level.released(), windows=self.windows.released(), compared_with=version)

    def released(self) -> "Watched":
        """Return the same without its episodes."""
        return replace(self, level=self.level.released(), windows=self.windows.released(), pressure=0.0)

    def ready(self, policy: DriftPolicy) -> bool:
        """Whether there is a reference that another version can be compared with."""
        return (self.level.reference.count or len(self.windows.reference)) >= policy.level.warm_up

    def examples(self, change: Change, policy: DriftPolicy) -> tuple[UUID, ...]:
        """Return the runs to look at: of the last, those that differ most in the way that the mean has, or the latest."""
        shown = list(reversed(self.last))
        if change.what is not What.CHANGED:
            sign = 1.0 if change.after < change.before else -1.0
            shown = sorted(shown, key=lambda example: sign * example.value)
        return tuple(dict.fromkeys(example.run_id for example in shown))[: policy.examples]

    def to_json(self) -> str:
        return _adapter().dump_json(self).decode()

    @staticmethod
    def from_json(stored: str) -> "Watched | None":
        """Return what was stored; None for what this code cannot read, which is whatever is of another shape."""
        try:
            return _adapter().validate_json(stored)
        except ValidationError:
            return None


def _observed(level: Level, judged: Judged, watch: Watch, policy: LevelPolicy) -> tuple[Level, Change | None]:
    """Have a level observe a value of which more is better."""
    sign = 1.0 if watch.better == "higher" else -1.0
    policy = replace(policy, min_deviation=watch.min_deviation)
    after, change = level.observe(sign * judged.value, judged.at, policy)
    if change is None or sign > 0:
        return after, change
    return after, replace(change, before=-change.before, after=-change.after)


@cache
def _adapter() -> TypeAdapter[Watched]:
    return TypeAdapter(Watched)
