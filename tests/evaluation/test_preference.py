"""Two answers, asked about in both places."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from evaluation.criteria.types import Part, Reading, Rubric
from evaluation.preference import preference


@dataclass
class Prefers:
    """A judge that likes the word "good", and whatever stands first; None where it cannot tell."""

    name: str = "j"
    place: float = 0.4
    mute_at: int | None = None
    asked: int = 0

    async def judge(self, rubric: Rubric, parts: Sequence[Part]) -> Reading:
        self.asked += 1
        if self.asked == self.mute_at:
            return Reading(value=None, reason="unreadable verdict")
        return Reading(value=self.place + (0.3 if "good" in parts[1].text else 0.0), reason="")


async def test_the_place_does_not_count() -> None:
    """What a judge gives to the first place it gives to both answers."""
    assert (await preference(Prefers(), "say", "good", "bad")).value == pytest.approx(0.65)
    assert (await preference(Prefers(), "say", "bad", "good")).value == pytest.approx(0.35)
    assert (await preference(Prefers(place=0.9), "say", "bad", "bad")).value == pytest.approx(0.5)


@pytest.mark.parametrize("mute_at", [1, 2])
async def test_one_place_without_a_verdict_is_unscored(mute_at: int) -> None:
    assert (await preference(Prefers(mute_at=mute_at), "say", "good", "bad")).value is None
