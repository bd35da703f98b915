"""Text that is shown ahead of its verdict: what the reader gets, what the log gets, and what is taken back."""

from services.events import HandedOver, Retracted, RunEvent, TextDelta
from services.runs.buffer import EventBuffer
from tests.services.runs.manual_time import ManualTime

EVENT = HandedOver(from_agent="a", to_agent="b")


def a_buffer(answer_chars: int = 0) -> EventBuffer:
    time = ManualTime()
    return EventBuffer(
        attempt=1,
        window_s=lambda: 0.0,
        max_chars=1_000,
        answer_chars=answer_chars,
        clock=time,
        call_later=time.call_later,
    )


async def read(buffer: EventBuffer) -> tuple[RunEvent, ...]:
    """What the reader is handed next."""
    return (await anext(buffer.batches())).events


async def test_the_log_has_nothing_that_is_not_judged() -> None:
    """The reader has it at once; the log once the whole event is judged, under the same number."""
    buffer = a_buffer()
    buffer.ahead("one two ")
    assert await read(buffer) == (TextDelta(text="one two "),)
    buffer.ahead("three")
    assert buffer.cut() == (0, [])
    buffer.judged(4)
    assert buffer.cut() == (0, [])
    buffer.judged(4)
    assert buffer.leads
    assert buffer.cut() == (0, [TextDelta(text="one two ")])
    buffer.judged(5)
    assert not buffer.leads
    assert buffer.cut() == (1, [TextDelta(text="three")])


async def test_nothing_that_is_behind_it_is_logged_before_it() -> None:
    """The log has no gaps."""
    buffer = a_buffer()
    buffer.text("judged ")
    buffer.ahead("not yet ")
    buffer.emit(EVENT)
    buffer.text("work", "agent")
    assert buffer.cut() == (0, [TextDelta(text="judged ")])
    buffer.judged(8)
    assert buffer.cut() == (1, [TextDelta(text="not yet "), EVENT, TextDelta(text="work", source="agent")])


async def test_a_verdict_is_news_for_the_log() -> None:
    """It would not look otherwise."""
    buffer, news = a_buffer(), list[int]()
    buffer.on_news = lambda: news.append(1)
    buffer.ahead("one")
    buffer.cut()
    buffer.judged(3)
    assert len(news) == 2


async def test_what_is_taken_back_is_in_no_log() -> None:
    """What was shown is told by its characters; its events stay in their places, without the text."""
    buffer = a_buffer(answer_chars=100)
    buffer.ahead("It is a bird. It is ")
    shown = await read(buffer)
    buffer.reasoning("hm")
    buffer.ahead("a heron.")
    buffer.judged(14)
    buffer.retract("semantic.fake")
    told = Retracted(from_char=114, to_char=128, rule="semantic.fake")
    assert shown == (TextDelta(text="It is a bird. It is "),)
    first, events = buffer.cut()
    assert (first, events[0], events[-2:]) == (0, TextDelta(text="It is a bird. "), [TextDelta(text=""), told])
    assert "heron" not in repr(await read(buffer))


async def test_what_nobody_was_shown_is_taken_back_in_silence() -> None:
    """There is nothing to tell."""
    buffer = a_buffer()
    buffer.text("A ")
    await read(buffer)
    buffer.ahead("heron")
    buffer.retract("semantic.fake")
    assert buffer.cut() == (0, [TextDelta(text="A "), TextDelta(text="")])
    assert not buffer.leads


async def test_the_answer_goes_on_where_it_was_cut() -> None:
    """What a graph says after that has its place behind what is left, also for the next retraction."""
    buffer = a_buffer()
    buffer.ahead("Yes. A heron. ")
    await read(buffer)
    buffer.judged(5)
    buffer.retract("x")
    buffer.emit(TextDelta(text="Well. "))
    buffer.ahead("A stork.")
    await read(buffer)
    buffer.retract("y")
    assert [event for event in buffer.cut()[1] if isinstance(event, Retracted)] == [
        Retracted(from_char=5, to_char=14, rule="x"),
        Retracted(from_char=11, to_char=19, rule="y"),
    ]


async def test_halves_of_a_character_are_not_counted_apart() -> None:
    """A provider may cut a character in two: what is left of the answer is judged text, and no more of it."""
    buffer = a_buffer()
    buffer.ahead("\ud83e")
    buffer.ahead("\udd85 is a bird. Heron.")
    assert await read(buffer) == (TextDelta(text="\U0001f985 is a bird. Heron."),)
    buffer.judged(len("\ud83e\udd85 is a bird."))
    buffer.retract("x")
    first, second = buffer.cut()[1]
    assert first == TextDelta(text="\U0001f985 is a bird.")
    assert second == Retracted(from_char=12, to_char=19, rule="x")


async def test_a_batch_says_what_of_it_has_no_verdict() -> None:
    """For whoever would keep it."""
    buffer = a_buffer(answer_chars=10)
    buffer.text("Yes. ")
    assert (await anext(buffer.batches())).unjudged_from is None
    buffer.ahead("It is a bird. It is ")
    buffer.judged(14)
    assert (await anext(buffer.batches())).unjudged_from == 29
    buffer.judged(6)
    buffer.emit(EVENT)
    assert (await anext(buffer.batches())).unjudged_from is None
