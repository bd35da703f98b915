"""The count of effects that the other tests of this package trust."""

from pathlib import Path

from tests.e2e.chaos.effects import Expected, Noted, append, read, wrong

ONCE, AGAIN = Expected("a", "note_once"), Expected("b", "note_idempotent")


async def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Every line is an effect, in the order in which they came."""
    effects = [Noted(note="a", key="1"), Noted(note="b", key="2")]
    for noted in effects:
        append(tmp_path / "effects", noted)
    assert read(tmp_path / "effects") == effects


async def test_each_call_once_is_right() -> None:
    """An idempotent call may have been made again, under its key."""
    effects = [Noted(note="a", key="1"), Noted(note="b", key="2"), Noted(note="b", key="2")]
    assert wrong(effects, [ONCE, AGAIN]) == []


async def test_an_effect_that_is_missing_or_doubled_is_wrong() -> None:
    """None, two of what must not be repeated, and two keys for one call are each told."""
    assert wrong([], [ONCE]) == ["a was never noted"]
    assert wrong([Noted(note="a", key="1")] * 2, [ONCE]) == ["a was noted 2 times"]
    assert wrong([Noted(note="b", key="1"), Noted(note="b", key="2")], [AGAIN]) == ["b was noted under 2 keys"]
