"""Whether the mean of a score has changed, decided after every single answer.

Two pairs of charts stand side by side. The slow pair is tuned to a change of a third of a deviation, which is what 8.5 -> 8.0
is at a deviation of 1.5, the fast one to one and a half deviations. A change is told of once, and is an *episode* until it is
over:

    calm ──worsened──▶ worse ──recovered──▶ calm       what "before" is stays as it was while it lasts
      │                  └──collapsed──▶ collapsed ──recovered──▶ calm
      └──improved──▶ better ──settled──▶ calm          the new level is learnt, and is what a fall is measured from then

More of a value is better here; whoever watches one of which less is better turns it round first.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from evaluation.drift.cusum import Chart
from evaluation.drift.reference import Reference


class Mood(StrEnum):
    CALM = "calm"
    WORSE = "worse"
    COLLAPSED = "collapsed"
    BETTER = "better"


class What(StrEnum):
    """What has happened to a series."""

    WORSENED = "worsened"
    COLLAPSED = "collapsed"
    IMPROVED = "improved"
    CHANGED = "changed"
    RECOVERED = "recovered"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`test` is what found it. `before` and `after` are means, of the reference and of the `answers` since `since`. `ends` are
    the changes that are over with this one.
    """

    what: What
    test: str
    statistic: float
    limit: float
    before: float
    after: float
    answers: int
    since: datetime
    ends: tuple[What, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPolicy:
    """Allowances, limits and the cap are in deviations of one answer; docs/evaluation.md has what they make of it.

    An allowance is half of the change that its charts find soonest. `cap` is what one answer counts for at most: it keeps the
    long tail of low scores from being false alarms. Nothing is tested in a reference's first `warm_up` answers. While a chart
    is above `standstill` of its limit the reference learns nothing, or it would learn the change itself.
    `min_deviation`, in points, is for scores that have hardly any.
    """

    slow_allowance: float = 1 / 6
    slow_limit: float = 29.0
    fast_allowance: float = 0.75
    fast_limit: float = 12.0
    recovery_limit: float = 19.0
    cap: float = 4.0
    standstill: float = 0.5
    warm_up: int = 100
    min_deviation: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is known of a score's mean. `recovery` is the chart that tells of an episode's end."""

    reference: Reference = field(default_factory=Reference)
    mood: Mood = Mood.CALM
    slow_fall: Chart = field(default_factory=Chart)
    slow_rise: Chart = field(default_factory=Chart)
    fast_fall: Chart = field(default_factory=Chart)
    fast_rise: Chart = field(default_factory=Chart)
    recovery: Chart = field(default_factory=Chart)

    def observe(self, value: float, at: datetime, policy: LevelPolicy) -> tuple["Level", Change | None]:
        """Return what is known after one more answer, and the change that it shows, if it does."""
        if self.reference.count < policy.warm_up:
            return self._learning(value, at, policy)
        z = self.reference.standardise(value, min_deviation=policy.min_deviation)
        z = min(max(z, -policy.cap), policy.cap)
        charted = replace(self, fast_fall=self.fast_fall.after(-z - policy.fast_allowance, value, at))
        if self.mood is Mood.CALM:
            charted = replace(
                charted,
                slow_fall=self.slow_fall.after(-z - policy.slow_allowance, value, at),
                slow_rise=self.slow_rise.after(z - policy.slow_allowance, value, at),
                fast_rise=self.fast_rise.after(z - policy.fast_allowance, value, at),
            )
            return _calm(charted, value, policy)
        charted = replace(charted, recovery=self.recovery.after(z + policy.slow_allowance, value, at))
        return _fallen(charted, policy)

    def released(self) -> "Level":
        """Return the same without its episode, for a series that has fallen silent: what it says next is judged anew."""
        return Level(reference=self.reference)

    def pressure(self, policy: LevelPolicy) -> float:
        """Return how far the chart that is nearest to its limit has come: 0 to 1, and 1 during an episode of a fall."""
        if self.mood in (Mood.WORSE, Mood.COLLAPSED):
            return 1.0
        slow = max(self.slow_fall.statistic, self.slow_rise.statistic) / policy.slow_limit
        return max(slow, max(self.fast_fall.statistic, self.fast_rise.statistic) / policy.fast_limit)

    def _learning(self, value: float, at: datetime, policy: LevelPolicy) -> tuple["Level", Change | None]:
        reference = self.reference.with_value(value)
        if self.mood is not Mood.BETTER or reference.count < policy.warm_up:
            return replace(self, reference=reference), None
        settled = Change(
            what=What.SETTLED,
            test="warm-up",
            statistic=float(reference.count),
            limit=float(policy.warm_up),
            before=reference.mean,
            after=reference.mean,
            answers=reference.count,
            since=at,
            ends=(What.IMPROVED, What.CHANGED),  # a changed distribution is the better one, and is learnt as well
        )
        return Level(reference=reference), settled


def _calm(level: Level, value: float, policy: LevelPolicy) -> tuple[Level, Change | None]:
    tests = (
        (What.COLLAPSED, "fast CUSUM", level.fast_fall, policy.fast_limit),
        (What.WORSENED, "slow CUSUM", level.slow_fall, policy.slow_limit),
        (What.IMPROVED, "fast CUSUM", level.fast_rise, policy.fast_limit),
        (What.IMPROVED, "slow CUSUM", level.slow_rise, policy.slow_limit),
    )
    for what, test, chart, limit in tests:
        if chart.statistic > limit:
            change = _change(level, what, test, chart, limit)
            if what is What.IMPROVED:
                return Level(mood=Mood.BETTER), change
            mood = Mood.WORSE if what is What.WORSENED else Mood.COLLAPSED
            return Level(reference=level.reference, mood=mood), change
    learns = level.pressure(policy) <= policy.standstill
    return (replace(level, reference=level.reference.with_value(value)) if learns else level), None


def _fallen(level: Level, policy: LevelPolicy) -> tuple[Level, Change | None]:
    if level.recovery.statistic > policy.recovery_limit:
        change = _change(level, What.RECOVERED, "recovery CUSUM", level.recovery, policy.recovery_limit)
        return Level(reference=level.reference), change
    if level.mood is Mood.WORSE and level.fast_fall.statistic > policy.fast_limit:
        change = _change(level, What.COLLAPSED, "fast CUSUM", level.fast_fall, policy.fast_limit)
        return Level(reference=level.reference, mood=Mood.COLLAPSED), change
    return level, None


def _change(level: Level, what: What, test: str, chart: Chart, limit: float) -> Change:
    assert chart.since is not None  # noqa: S101  a chart above its limit has begun
    return Change(
        what=what,
        test=test,
        statistic=chart.statistic,
        limit=limit,
        before=level.reference.mean,
        after=chart.mean,
        answers=chart.answers,
        since=chart.since,
        ends=(What.WORSENED, What.COLLAPSED) if what is What.RECOVERED else (),
    )
