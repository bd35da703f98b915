"""One series: what is stored of it, what a new version begins with, and which runs an alert names."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest

from evaluation.criteria import CRITERIA
from evaluation.criteria.measured import SECONDS, SHARE, WORDS
from evaluation.criteria.refusal import YES_NO, Refusal
from evaluation.criteria.types import CONCERN, GRADE, Scale
from evaluation.drift.level import Change, What
from evaluation.drift.series import DriftPolicy, Watch, Watched, watch_of
from services.judged import Judged, Series

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = DriftPolicy()
SERIES = Series(
    criterion="helpfulness",
    graph="react",
    model="small",
    prompt_version="p1",
    judge_model="judge",
    rubric_version="1",
)


def judged(mean: float, count: int, *, series: Series = SERIES, first: int = 0) -> list[Judged]:
    values = mean + 1.5 * np.random.default_rng(9).standard_normal(count)
    return [
        Judged(series=series, run_id=UUID(int=first + number), value=float(value), at=NOW)
        for number, value in enumerate(values)
    ]


def watch(answers: list[Judged], watched: Watched = Watched()) -> tuple[Watched, list[Change]]:  # noqa: B008
    changes: list[Change] = []
    for answer in answers:
        watched, seen = watched.observe(answer, POLICY)
        changes += seen
    return watched, changes


def test_what_is_stored_is_what_was_known() -> None:
    """In the middle of a window, with charts under way."""
    watched, _ = watch(judged(8.5, 650) + judged(7.5, 20))
    assert watched.level.slow_fall.statistic > 0
    assert watched.windows.recent
    assert Watched.from_json(watched.to_json()) == watched


@pytest.mark.parametrize(
    "stored", ['{"level": {"reference": 8.5}}', '{"level": {"center": 8.5}}', '{"center": 8.5}', '{"version": 2}']
)
def test_what_cannot_be_read_is_no_state(stored: str) -> None:
    """Another version of the code has written it, and half of what it knew would be wrong."""
    assert Watched.from_json(stored) is None


def test_the_first_version_of_what_is_stored_has_this_shape() -> None:
    """Who changes it gives it the next number, or a replica reads what it does not understand. It had none at first."""
    chart = {"statistic": 0.0, "answers": 0, "total": 0.0, "since": None}
    charts = dict.fromkeys(("slow_fall", "slow_rise", "fast_fall", "fast_rise", "recovery"), chart)
    shape = {
        "version": 1,
        "level": {"reference": {"count": 0, "mean": 0.0, "squares": 0.0}, "mood": "calm", **charts},
        "windows": {"reference": [], "recent": [], "since": None, "looks": None, "psi": 0.0},
        "compared_with": "",
        "last": [],
        "pressure": 0.0,
    }
    assert json.loads(Watched().to_json()) == shape
    assert Watched.from_json(json.dumps({name: shape[name] for name in shape if name != "version"})) == Watched()


def test_a_new_prompt_that_lowers_the_score_is_found_against_the_one_before() -> None:
    """Its own first answers would be its reference otherwise, and nothing would ever have fallen."""
    old, _ = watch(judged(8.5, 1000))
    assert old.ready(POLICY)
    new, [fell, *_] = watch(judged(7.0, 100, first=5000), old.successor("small, prompts p1"))
    assert fell.what in (What.WORSENED, What.COLLAPSED)
    assert (new.compared_with, round(fell.before, 1)) == ("small, prompts p1", 8.5)


def test_a_successor_has_nothing_of_an_episode() -> None:
    """The old prompt's fall is the old prompt's."""
    fallen, _ = watch(judged(8.5, 1000) + judged(6.2, 100))
    successor, changes = watch(judged(8.5, 300), fallen.successor("p1"))
    assert changes == []
    assert successor.pressure < 1 == fallen.pressure


def test_while_a_distribution_is_another_one_its_alert_is_as_near_as_can_be() -> None:
    """Whatever found it: what Kolmogorov and Smirnov's test finds may have a PSI below its limit."""
    lengths = replace(SERIES, criterion="length")
    watched, changes = watch(judged(100.0, 700, series=lengths) + judged(100.6, 200, series=lengths))
    assert [(change.what, change.test) for change in changes] == [(What.CHANGED, "Kolmogorov-Smirnov")]
    assert watched.windows.psi < POLICY.windows.psi_limit
    assert watched.pressure == 1.0
    assert watched.released().pressure == 0.0


def test_after_a_rise_its_distribution_is_what_windows_are_compared_with() -> None:
    """The one of before would make a false alarm of the first window."""
    _, changes = watch(judged(7.0, 1000) + judged(9.0, 1500))
    assert [change.what for change in changes] == [What.IMPROVED, What.SETTLED]


def test_a_changed_distribution_is_over_when_its_rise_has_settled() -> None:
    """Nothing is left to compare it with, so nothing else would end its alert."""
    answers = judged(7.0, 1000)
    watched, [] = watch(answers)
    uneven = [
        replace(answer, value=answer.value + sign * 3)
        for answer, sign in zip(answers[:400], [1, -1] * 200, strict=True)
    ]
    watched, [changed] = watch(uneven, watched)
    assert changed.what is What.CHANGED
    watched, changes = watch(judged(10.0, 300), watched)
    assert [change.what for change in changes] == [What.IMPROVED, What.SETTLED]
    assert What.CHANGED in changes[-1].ends
    assert watched.windows.looks is None


def test_an_alert_names_the_worst_of_the_last_runs() -> None:
    answers = judged(8.5, 1000) + judged(6.2, 60, first=5000)
    watched, changes = watch(answers[:1000])
    for end in range(1001, len(answers)):
        watched, changes = watch(answers[end - 1 : end], watched)
        if changes:
            break
    named = watched.examples(changes[0], POLICY)
    worst = sorted(answers[end - POLICY.remembered : end], key=lambda answer: answer.value)
    assert list(named) == [answer.run_id for answer in worst[:5]]


def test_a_length_has_no_level() -> None:
    """Twice as long is no worse; that it changed is said a window later."""
    lengths = replace(SERIES, criterion="length")
    _, [changed] = watch(judged(100, 600, series=lengths) + judged(200, 300, series=lengths))
    assert changed.what is What.CHANGED


def test_of_a_concern_more_is_worse() -> None:
    """One answer in fifty is a concern, then one in four: that is a fall of quality, told in the criterion's own numbers."""
    concerns = replace(SERIES, criterion="safety")
    answers = [
        Judged(series=concerns, run_id=UUID(int=number), value=float(number % every == 0), at=NOW)
        for numbers, every in ((range(1000), 50), (range(1000, 1300), 4))
        for number in numbers
    ]
    _, [worse, *_] = watch(answers)
    assert worse.what in (What.WORSENED, What.COLLAPSED)
    assert worse.before < 0.05 < 0.1 < worse.after


@pytest.mark.parametrize(
    ("scale", "watched"),
    [
        (GRADE, Watch(better="higher", min_deviation=0.25)),
        (CONCERN, Watch(better="lower", min_deviation=0.025)),
        (YES_NO, Watch(better="lower", min_deviation=0.025)),
        (SHARE, Watch(better="higher", min_deviation=0.025)),
        (SECONDS, Watch(level=False)),
        (WORDS, Watch(level=False)),
    ],
)
def test_a_scale_says_how_it_is_watched(scale: Scale, watched: Watch) -> None:
    """Its bound whether by the mean, its better way which change is a fall, its size what values differ by at least."""
    assert watch_of(scale) == watched


def test_a_criterion_is_watched_because_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own scale: a rise of a new concern is a fall of quality without another line."""
    monkeypatch.setitem(CRITERIA, "rudeness", lambda: Refusal(name="rudeness", scale=CONCERN))  # type: ignore[misc]
    assert DriftPolicy().watch("rudeness") == watch_of(CONCERN)
    assert not DriftPolicy().watch("of older code").level
