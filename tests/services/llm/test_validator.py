"""The stream validator: what may pass, what ends an attempt, and what it remembers."""

import pytest
from langchain_core.messages import AIMessage

from services.errors import ModelOutputLoops, ModelOutputTooLarge, ModelStreamBroken
from services.llm.validator import MAX_REPEATS, AnswerStream, StreamCaps
from tests.services.llm.fakes import Shown


@pytest.mark.parametrize("kind", ["text", "reasoning", "tool_call"])
def test_the_first_content_is_told_once(kind: str) -> None:
    """Text, reasoning and a piece of a tool call are each a sign of life."""
    told: list[str] = []
    stream = AnswerStream(Shown())
    stream.begin(StreamCaps(), lambda: told.append(kind))
    for _ in range(3):
        getattr(stream, kind)(7 if kind == "tool_call" else "word")
    assert told == [kind]
    assert stream.pieces == 3


def test_one_piece_over_and_over_is_a_loop() -> None:
    """The hundredth repetition ends the attempt; what came before it is passed on."""
    shown = Shown()
    stream = AnswerStream(shown)
    for _ in range(MAX_REPEATS):
        stream.text("again ")
    with pytest.raises(ModelOutputLoops):
        stream.text("again ")
    stream.break_off()
    assert shown.pieces == [("again " * MAX_REPEATS, None)]


async def test_what_came_together_goes_on_together() -> None:
    """In its order, with what was thought before and behind it."""
    shown = Shown()
    stream = AnswerStream(shown)
    for piece in ("It ", "is "):
        stream.text(piece)
    assert shown.pieces == []
    await stream.drain()
    stream.text("four")
    stream.reasoning("or is it?")
    stream.text(".")
    stream.finish()
    assert [text for text, _ in shown.pieces] == ["It is ", "four", "or is it?", "."]


def test_short_pieces_and_interrupted_runs_are_no_loop() -> None:
    """Rules and indentation repeat; so do words with others between them."""
    stream = AnswerStream(Shown())
    for _ in range(5 * MAX_REPEATS):
        stream.text("--")
    for _ in range(5 * MAX_REPEATS):
        stream.text("again ")
        stream.text("and ")


def test_a_flood_of_pieces_is_given_up() -> None:
    """Twice the tokens that were asked for, and a little, is where a provider ignores its limit."""
    stream = AnswerStream(Shown())
    stream.begin(StreamCaps.for_tokens(10), lambda: None)
    for number in range(84):
        stream.text(str(number))
    with pytest.raises(ModelOutputTooLarge):
        stream.text("one more")


@pytest.mark.parametrize("kind", ["text", "reasoning", "tool_call"])
def test_size_counts_over_all_kinds(kind: str) -> None:
    """Text, reasoning and tool calls share the cap on characters."""
    stream = AnswerStream(Shown())
    stream.begin(StreamCaps(max_chars=100), lambda: None)
    stream.text("a" * 40)
    stream.reasoning("b" * 40)
    with pytest.raises(ModelOutputTooLarge):
        getattr(stream, kind)(40 if kind == "tool_call" else "c" * 40)


def test_a_silent_call_shows_nothing_and_remembers_all() -> None:
    """Its text is kept for the bill, not for the client, so it may be made again."""
    shown = Shown()
    stream = AnswerStream(shown, silent=True)
    stream.text("secret")
    stream.finish()
    assert (shown.pieces, stream.parts, stream.chars, stream.shown) == ([], ["secret"], 6, False)


def test_a_tool_call_is_not_shown() -> None:
    """A call that broke off inside a tool call can be made again in silence; one that spoke cannot."""
    stream = AnswerStream(Shown())
    stream.tool_call(12)
    assert not stream.shown
    stream.reasoning("hm")
    assert stream.shown


def test_a_new_attempt_begins_at_nothing() -> None:
    """What an earlier provider said, in whatever amount, is not the next one's."""
    stream = AnswerStream(Shown(), silent=True)
    stream.sent()
    stream.text("x" * 50)
    stream.reasoning("y" * 50)
    stream.begin(StreamCaps(max_chars=60), lambda: None)
    assert (stream.pieces, stream.chars, stream.reasoning_chars, stream.was_sent, stream.parts) == (0, 0, 0, False, [])
    stream.text("z" * 60)


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (AIMessage(content="", response_metadata={"finish_reason": "stop"}), False),
        (AIMessage(content="", response_metadata={"finish_reason": "tool_calls"}), False),
        (AIMessage(content="said"), True),
        (AIMessage(content="", response_metadata={"finish_reason": "length"}), True),
        (AIMessage(content="", response_metadata={"finish_reason": "content_filter"}), True),
        (AIMessage(content="", tool_calls=[{"name": "f", "args": {}, "id": "1"}]), True),
    ],
    ids=["nothing", "no calls", "text", "length", "filtered", "a call"],
)
def test_an_empty_answer_is_none(answer: AIMessage, whole: bool) -> None:
    """A model that stops without a word has failed, unless it was cut off or filtered."""
    stream = AnswerStream(Shown())
    if whole:
        assert stream.whole(answer) is answer
    else:
        with pytest.raises(ModelStreamBroken, match="empty"):
            stream.whole(answer)


async def test_draining_is_visible_while_it_lasts() -> None:
    """The timers see that it is the reader who is waited for; a busy replica's pace is no reason to stop them."""
    seen: list[bool] = []

    class Slow(Shown):
        async def drain(self) -> None:
            seen.append(stream.draining)

        async def pace(self) -> None:
            seen.append(stream.draining)

    stream = AnswerStream(Slow())
    await stream.drain()
    assert (seen, stream.draining) == ([True, False], False)
