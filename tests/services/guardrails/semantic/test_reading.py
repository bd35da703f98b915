"""One text as it is judged: what is shown of it, when, and what remains."""

import asyncio

import pytest

from services.errors import ContentBlocked, GuardrailUnavailable
from services.guard import ALLOWED, UNJUDGED, Verdict
from services.guardrails.semantic.reading import MAX_WAITING
from services.guardrails.semantic.types import Context
from tests.services.guardrails.semantic.fakes import FakeCheck, Shown, tier_of

FIRST = "The first sentence is a harmless one."
BAD = " The second one is about the heron that lives here."
THIRD = " The third sentence is harmless again, and comes too late."


async def read(shown: Shown, check: FakeCheck, *parts: str, ahead: bool) -> None:
    reading = shown.reading(tier_of(check), ahead=ahead)
    try:
        for part in parts:
            reading.feed(part)
            await asyncio.sleep(0)
        reading.finish()
        await reading.settle()
    finally:
        reading.close()


@pytest.mark.parametrize("ahead", [False, True])
async def test_what_is_harmless_is_shown(ahead: bool) -> None:
    """All of it, in order, and nothing is taken back."""
    shown = Shown()
    await read(shown, FakeCheck(), FIRST, THIRD, FIRST, ahead=ahead)
    assert shown.text == FIRST + THIRD + FIRST
    assert (shown.retracted, shown.told) == ([], [])
    assert (shown.leading, shown.judged_chars) == ((shown.text, len(shown.text)) if ahead else ("", 0))


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_bad_sentence_ends_it(ahead: bool) -> None:
    """What remains is what was before, whether it was held or taken back."""
    shown = Shown()
    with pytest.raises(ContentBlocked):
        await read(shown, FakeCheck(), FIRST, BAD, THIRD, ahead=ahead)
    assert shown.text == FIRST
    assert shown.retracted == (["semantic.fake"] if ahead else [])
    assert [rule for rule, _ in shown.told] == ["semantic.fake"]


async def test_held_text_is_not_shown_before_its_verdict() -> None:
    """Not a character of the sentence."""
    shown, check = Shown(), FakeCheck(waits=True)
    reading = shown.reading(tier_of(check))
    reading.feed(FIRST + BAD + THIRD)
    await asyncio.sleep(0)
    assert (shown.text, len(check.asked)) == ("", 2)
    check.go.set()
    with pytest.raises(ContentBlocked):
        await reading.settle()
    assert shown.text == FIRST
    reading.close()


async def test_text_ahead_is_shown_before_its_verdict() -> None:
    """As it comes, and taken back from the bad sentence on."""
    shown, check = Shown(), FakeCheck(waits=True)
    reading = shown.reading(tier_of(check), ahead=True)
    reading.feed(FIRST + BAD + THIRD)
    assert shown.leading == FIRST + BAD + THIRD
    check.go.set()
    with pytest.raises(ContentBlocked):
        await reading.settle()
    assert (shown.text, shown.judged_chars) == (FIRST, len(FIRST))
    assert shown.told == [("semantic.fake", len(BAD + THIRD))]
    reading.close()
    assert shown.retracted == ["semantic.fake"]


async def test_verdicts_count_in_the_order_of_the_text() -> None:
    """A later sentence that is judged sooner is not shown before an earlier one, and ends nothing before it."""
    slow = asyncio.Event()

    class Uneven(FakeCheck):
        async def judge(self, piece: str, context: Context) -> Verdict:
            if piece == FIRST:
                await slow.wait()
            return await super().judge(piece, context)

    shown = Shown()
    reading = shown.reading(tier_of(Uneven()))
    reading.feed(FIRST + BAD + THIRD)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (shown.text, shown.told) == ("", [])
    slow.set()
    with pytest.raises(ContentBlocked):
        await reading.settle()
    assert (shown.text, shown.told) == (FIRST, [("semantic.fake", 0)])
    reading.close()


@pytest.mark.parametrize("ahead", [False, True])
async def test_no_verdict_in_time_is_no_good_one(ahead: bool) -> None:
    """The text ends as one that could not be judged, and what was shown without a verdict is taken back."""
    shown, check = Shown(), FakeCheck(waits=True)
    reading = shown.reading(tier_of(check, deadline_s=0.001), ahead=ahead)
    reading.feed(FIRST + THIRD)
    with pytest.raises(GuardrailUnavailable):
        await reading.settle()
    assert shown.text == ""
    assert shown.retracted == ([UNJUDGED] if ahead else [])
    with pytest.raises(GuardrailUnavailable):
        reading.feed(THIRD)
    reading.close()


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_check_that_fails_lets_nothing_through(ahead: bool) -> None:
    """Whatever it raises."""

    def broken(piece: str) -> Verdict:
        raise ZeroDivisionError

    shown = Shown()
    with pytest.raises(GuardrailUnavailable, match="could not be judged"):
        await read(shown, FakeCheck(broken), FIRST, ahead=ahead)
    assert shown.text == ""


async def test_what_is_flagged_passes_and_is_told() -> None:
    """Its rule is known, and the text goes on."""
    shown = Shown()
    await read(shown, FakeCheck(), " The stork is a bird that is flagged here.", THIRD, ahead=False)
    assert shown.text.endswith(THIRD)
    assert shown.told == [("semantic.fake.flag", 0)]


async def test_a_text_that_is_given_up_keeps_what_was_judged() -> None:
    """Its run was stopped: what was shown without a verdict is taken back, and nobody is asked any more."""
    shown, check = Shown(), FakeCheck()
    reading = shown.reading(tier_of(check), ahead=True)
    reading.feed(FIRST + THIRD)
    for _ in range(3):
        await asyncio.sleep(0)
    check.go.clear()
    reading.feed(FIRST)
    await asyncio.sleep(0)
    reading.close()
    assert (shown.text, shown.retracted) == (FIRST, [UNJUDGED])
    for _ in range(3):
        await asyncio.sleep(0)
    assert check.at_once == 0


async def test_a_provider_that_is_faster_than_the_checks_waits() -> None:
    """So that what is held, and how many are asked at once, has a bound."""
    shown, check = Shown(), FakeCheck(waits=True)
    reading = shown.reading(tier_of(check))
    for _ in range(MAX_WAITING):
        reading.feed(FIRST + " ")
    await reading.room()
    reading.feed(FIRST + " ")
    room = asyncio.create_task(reading.room())
    for _ in range(5):
        await asyncio.sleep(0)
    assert (room.done(), check.most_at_once) == (False, MAX_WAITING + 1)
    check.go.set()
    await room
    await reading.settle()
    reading.close()


async def test_a_check_is_told_what_was_asked_and_said() -> None:
    """The sentence by itself, and around it what helps to understand it."""
    check = FakeCheck(lambda _: ALLOWED)
    reading = Shown().reading(tier_of(check), asked="What of the birds?")
    reading.feed(FIRST + THIRD)
    reading.finish()
    await reading.settle()
    reading.close()
    assert check.asked == [
        (FIRST, Context(before="", asked="What of the birds?")),
        (THIRD, Context(before=FIRST, asked="What of the birds?")),
    ]
