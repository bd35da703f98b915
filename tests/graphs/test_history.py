"""How much of a thread a model is shown: trimming, which is pure, and notes on what was trimmed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from graphs.history import (
    MAX_NOTES_TOKENS,
    MESSAGE_TOKENS,
    MIN_RESULT_CHARS,
    NOTES_PROMPT,
    REFILL,
    HistoryOptions,
    Shown,
    estimated_tokens,
    fitted,
    trimmed,
    turns_of,
    window_tokens,
)
from graphs.outside import FENCE_TOKENS
from graphs.provenance import Provenance, marked
from services.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from services.types import ModelOptions
from tests.graphs.fakes import Turn, says, shape, turn

Messages = list[AnyMessage]


def user(text: str, message_id: str | None = None) -> HumanMessage:
    return HumanMessage(content=text, id=message_id or text[:20])


def answer(text: str, message_id: str | None = None) -> AIMessage:
    return AIMessage(content=text, id=message_id or text[:20])


def call(name: str) -> AIMessage:
    return AIMessage(content="", id=f"call-{name}", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": name}])


def result(name: str, text: str) -> ToolMessage:
    return ToolMessage(content=text, tool_call_id=name, id=f"result-{name}")


def exchange(number: int, chars: int = 100) -> Messages:
    """A turn of so many characters, half of them the user's."""
    return [
        user(f"q{number} ".ljust(chars // 2, "."), f"q{number}"),
        answer(f"a{number} ".ljust(chars // 2, "."), f"a{number}"),
    ]


def thread(turns: int, chars: int = 100) -> Messages:
    return [message for number in range(turns) for message in exchange(number, chars)]


def ids(messages: Sequence[AnyMessage]) -> list[str | None]:
    return [message.id for message in messages]


def size(messages: Sequence[AnyMessage]) -> int:
    return sum(map(estimated_tokens, messages))


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (user(""), MESSAGE_TOKENS),
        (user("a" * 40), MESSAGE_TOKENS + 10),
        (user("ü" * 40), MESSAGE_TOKENS + 20),
        (user("語" * 40), MESSAGE_TOKENS + 30),
        (user("\ud800"), MESSAGE_TOKENS + 1),
        (HumanMessage(content=[{"type": "text", "text": "a" * 40}]), MESSAGE_TOKENS + 10),
        (call("c"), MESSAGE_TOKENS + 4),
        (result("c", "a" * 8), MESSAGE_TOKENS + FENCE_TOKENS + 2),
        (marked(result("c", "a" * 8), Provenance(origin="tool:clock")), MESSAGE_TOKENS + 2),
    ],
)
def test_a_message_is_about_so_many_tokens(message: AnyMessage, tokens: int) -> None:
    """Four ASCII characters are a token, other scripts take more; the calls of an answer count too."""
    assert estimated_tokens(message) == tokens


def test_turns_begin_with_what_the_user_says() -> None:
    """A turn holds the user's message, or several in a row, and everything up to the next."""
    messages: Messages = [
        answer("hello"),
        user("one"),
        user("more"),
        call("c"),
        result("c", "found"),
        answer("done"),
        SystemMessage(content="be brief", id="s"),
        user("two"),
    ]
    assert [ids(turn) for turn in turns_of(messages)] == [
        ["hello"],
        ["one", "more", "call-c", "result-c", "done"],
        ["two"],
    ]
    assert turns_of([]) == []


def test_what_fits_is_left_alone() -> None:
    """Nothing is dropped while everything fits, to the last token."""
    messages = thread(5)
    cut = trimmed(messages, size(messages))
    assert (cut.turns, cut.upto) == (messages, None)


def test_the_oldest_turns_are_dropped_first() -> None:
    """When the room is too small by one token, whole turns go until three quarters are filled."""
    messages = thread(8)
    cut = trimmed(messages, size(messages) - 1)
    assert ids(cut.turns) == ids(messages[6:])
    assert cut.upto == "a2"
    assert size(messages[6:]) <= (size(messages) - 1) * REFILL < size(messages[4:])


def test_what_was_dropped_stays_dropped_and_the_next_turns_have_room() -> None:
    """From one overflow to the next the same messages are dropped, so that their beginning is the same in each call."""
    messages, upto, cuts = thread(8), None, []
    room = size(messages) - 1
    for number in range(8, 16):
        cut = trimmed(messages, room, after=upto)
        upto = cut.upto
        cuts.append(upto)
        assert size(cut.turns) <= room
        messages = [*messages, *exchange(number)]
    assert cuts == ["a2", "a2", "a2", "a5", "a5", "a5", "a8", "a8"]
    assert trimmed(messages, 10**6, after="a1").upto == "a1"


@pytest.mark.parametrize("after", ["unknown", "q15", None])
def test_a_mark_that_means_nothing_is_ignored(after: str | None) -> None:
    """What is not in the thread any more, or is in its newest turn, has dropped nothing."""
    messages = thread(16)
    assert trimmed(messages, 10**6, after=after).upto is None


def test_calls_and_results_stay_together() -> None:
    """A turn with tools goes or stays as a whole."""
    tools: Messages = [user("one"), call("c"), result("c", "x" * 200), answer("done")]
    messages = [*tools, *exchange(1), *exchange(2)]
    for room in range(size(messages)):
        kept = trimmed(messages, room).turns
        assert shape(kept) == shape(messages)[len(messages) - len(kept) :]
        assert len(kept) in {2, 4, 8}


def test_system_messages_stay() -> None:
    """The client's system messages are kept whatever is dropped, and their size counts."""
    system = SystemMessage(content="s" * 400, id="s")
    messages = [*exchange(0), system, *exchange(1), *exchange(2)]
    cut = trimmed(messages, size([system]) + size(exchange(2)))
    assert (cut.system, ids(cut.turns)) == ([system], ["q2", "a2"])


def test_the_newest_turn_stays_even_where_it_does_not_fit() -> None:
    """Without tool results there is nothing to shorten: the provider will say that it is too long."""
    messages = [*thread(3), user("x" * 1_000, "new")]
    for room in (0, -100, 50):
        assert ids(trimmed(messages, room).turns) == ["new"]


def test_long_results_of_the_newest_turn_are_cut_to_one_length() -> None:
    """The longest go first, what is short stays whole, and the text says how much is missing."""
    newest: Messages = [user("new"), call("a"), result("a", "x" * 9_000), call("b"), result("b", "y" * 30_000)]
    newest += [call("c"), result("c", "z" * 800), answer("done")]
    messages = [*thread(2), *newest]
    cut = trimmed(messages, 4_000)
    lengths = [len(str(message.content)) for message in cut.turns if isinstance(message, ToolMessage)]
    assert ids(cut.turns) == ids(newest)
    assert 3_500 < size(cut.turns) <= 4_000
    assert lengths[2] == 800
    assert abs(lengths[0] - lengths[1]) < 10
    assert str(cut.turns[2].content).endswith("more characters]")
    assert len(str(messages[6].content)) == 9_000, "the thread itself is not changed"
    least = trimmed(messages, 0)
    lengths = [len(str(message.content)) for message in least.turns if isinstance(message, ToolMessage)]
    assert all(MIN_RESULT_CHARS <= length < MIN_RESULT_CHARS + 50 for length in lengths)


TEXTS = st.text(alphabet="aü語 ", max_size=400)


@st.composite
def conversations(draw: st.DrawFn) -> Messages:
    messages: Messages = []
    for number in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            messages.append(SystemMessage(content=draw(TEXTS), id=f"s{number}"))
        messages.append(user(draw(TEXTS), f"q{number}"))
        for round_ in range(draw(st.integers(0, 2))):
            name = f"{number}-{round_}"
            messages += [call(name), result(name, draw(TEXTS) * draw(st.sampled_from([1, 30])))]
        if draw(st.booleans()):
            messages.append(answer(draw(TEXTS), f"a{number}"))
    return messages


@given(conversations(), st.integers(-10, 2_000), st.integers(0, 8))
def test_trimming_keeps_its_promises(messages: Messages, room: int, mark: int) -> None:
    """The end of the thread in order, system messages, no call without its result; it fits, or is the newest turn alone."""
    cut = trimmed(messages, room, after=f"a{mark}")
    plain = [message for message in messages if not isinstance(message, SystemMessage)]
    assert list(cut.system) == [message for message in messages if isinstance(message, SystemMessage)]
    assert shape(cut.turns) == shape(plain[len(plain) - len(cut.turns) :])
    newest = turns_of(messages)[-1]
    assert ids(cut.turns)[-len(newest) :] == ids(newest)
    fits = size([*cut.system, *cut.turns]) <= room
    assert fits or ids(cut.turns) == ids(newest)
    called = {called["id"] for message in cut.turns if isinstance(message, AIMessage) for called in message.tool_calls}
    assert called == {message.tool_call_id for message in cut.turns if isinstance(message, ToolMessage)}
    again = trimmed(messages, room, after=cut.upto)
    assert (ids(again.turns), again.upto) == (ids(cut.turns), cut.upto)


@pytest.mark.parametrize(
    ("max_tokens", "windows", "expected"),
    [
        (None, [], None),
        (None, [(None, 4_096)], None),
        (2_000, [(None, 4_096)], 2_000),
        (None, [(128_000, 4_096), (32_000, 4_096), (None, 1)], 27_904),
        (2_000, [(32_000, 4_096)], 2_000),
        (200_000, [(32_000, 4_096)], 27_904),
        (None, [(4_096, 4_096)], 2_048),
    ],
)
def test_the_smallest_window_counts(
    max_tokens: int | None, windows: list[tuple[int | None, int]], expected: int | None
) -> None:
    """Any provider may be asked, so the smallest known one decides; half of it at least is for what is sent."""
    assert window_tokens(max_tokens, windows) == expected


OPTIONS = HistoryOptions(max_tokens=1_000)
PROMPT = "You are the system."


async def shown(turned: Turn, messages: Messages, known: Any = None, options: HistoryOptions = OPTIONS) -> Shown:
    state = {"messages": messages} if known is None else {"messages": messages, "summary": known}
    return await fitted(state, turned.context, options, prompt=PROMPT)


async def test_without_a_limit_everything_is_shown() -> None:
    """Where no window is known nothing is dropped."""
    messages = thread(500)
    seen = await shown(turn(), messages, options=HistoryOptions())
    assert (seen.messages, seen.update) == (messages, {})


async def test_prompt_and_tools_take_their_room() -> None:
    """What fits alone may not fit beside them."""
    messages, turned = thread(10), turn()
    options = HistoryOptions(max_tokens=size(messages) + 20, summarise=False)
    schema = {"type": "function", "function": {"name": "search", "description": "d" * 200}}
    assert (await fitted({"messages": messages}, turned.context, options, prompt="p")).update == {}
    for arguments in ({"prompt": "p" * 200}, {"prompt": "p", "tools": [schema]}):
        seen = await fitted({"messages": messages}, turned.context, options, **arguments)
        assert len(seen.messages) < len(messages)


async def test_what_is_dropped_is_summarised_once() -> None:
    """One silent call notes it; the notes stand before the turns that fit, and the next turns use the same ones."""
    turned = turn(says("Notes: the user is called Ada."))
    messages = thread(40)
    seen = await shown(turned, messages)
    summary = seen.update["summary"]
    kept = ids(seen.messages)[2:]
    assert kept == ids(messages)[len(messages) - len(kept) :]
    assert [(m.type, m.content) for m in seen.messages[:2]] == [
        ("human", "What have we talked about so far?"),
        ("ai", "Notes: the user is called Ada."),
    ]
    assert summary["covers"] == summary["upto"] == f"a{int(str(kept[0])[1:]) - 1}"
    [asked] = turned.model.asked
    assert (asked.source, asked.silent, asked.tool_names) == ("summary", True, [])
    (_, system), (_, told) = asked.texts
    assert system == NOTES_PROMPT
    assert "User: q0 ." in told
    assert f"Assistant: {summary['upto']} ." in told
    assert f"{kept[0]} ." not in told
    assert turned.events.events == []
    again = await shown(turn(), [*messages, *exchange(40)], summary)
    assert again.update == {}
    assert ids(again.messages)[2] == kept[0]
    assert again.messages[1].content == summary["text"]


async def test_later_notes_build_on_the_earlier_ones() -> None:
    """When more is dropped the model is shown the notes and only what they do not cover."""
    messages = thread(40)
    first = (await shown(turn(says("Called Ada.")), messages)).update["summary"]
    more = [*messages, *(message for number in range(40, 60) for message in exchange(number))]
    turned = turn(says("Called Ada, lives in Bern."))
    second = (await shown(turned, more, first)).update["summary"]
    told = turned.model.asked[0].texts[1][1]
    assert told.startswith("Notes on what was said before:\nCalled Ada.\n\nThe conversation:\nUser: q")
    assert f"{first['upto']} ." not in told
    assert f"q{int(first['upto'][1:]) + 1} ." in told
    assert second["text"] == "Called Ada, lives in Bern."


@pytest.mark.parametrize(
    "reply",
    [ModelUnavailable("down"), Overloaded("full"), says(""), says("  ")],
    ids=["down", "full", "empty", "blank"],
)
async def test_without_notes_the_turn_goes_on(reply: Any) -> None:
    """A model that cannot summarise costs the notes, not the turn; it is asked again when more is dropped, about all of it."""

    def failing(call: object) -> Any:
        if isinstance(reply, Exception):
            raise reply
        return reply

    messages = thread(30)
    seen = await shown(turn(failing), messages)
    known = seen.update["summary"]
    assert (known["text"], known["covers"]) == ("", "")
    assert ids(seen.messages)[0] == f"q{int(known['upto'][1:]) + 1}"
    quiet = turn()
    assert (await shown(quiet, [*messages, *exchange(30)], known)).update == {}
    assert quiet.model.asked == []
    more = [*messages, *(message for number in range(30, 41) for message in exchange(number))]
    turned = turn(says("All of it."))
    later = (await shown(turned, more, known)).update["summary"]
    assert "User: q0 ." in turned.model.asked[0].texts[1][1]
    assert (later["text"], later["covers"]) == ("All of it.", later["upto"])


async def test_a_run_without_time_is_not_saved_by_trimming() -> None:
    """The run's own deadline ends it here as anywhere."""

    def late(call: object) -> Any:
        raise DeadlineExceeded("late")

    with pytest.raises(DeadlineExceeded):
        await shown(turn(late), thread(40))


@pytest.mark.parametrize("which", ["off", "ephemeral", "tiny"])
async def test_no_notes_where_none_are_wanted(which: str) -> None:
    """Where it is switched off, for runs whose client keeps the history, and where there is no room for notes."""
    options = HistoryOptions(max_tokens=16 if which == "tiny" else 1_000, summarise=which != "off")
    turned = turn(ephemeral=which == "ephemeral")
    seen = await shown(turned, thread(40), options=options)
    assert turned.model.asked == []
    assert seen.update["summary"]["text"] == ""
    assert len(seen.messages) < 80


async def test_the_operator_may_say_how_to_summarise() -> None:
    """The prompt `summary` replaces ours; the client's stop words and length do not apply to notes."""
    options = ModelOptions(stop=("x",), max_output_tokens=5, temperature=0.3)
    turned = turn(says("Notes."), prompts={"summary": "Sum it up."}, options=options)
    await shown(turned, thread(40))
    [asked] = turned.model.asked
    assert asked.texts[0] == ("system", "Sum it up.")
    assert asked.call.options == ModelOptions(temperature=0.3)


@pytest.mark.parametrize("text", ["n" * 50_000, "語" * 50_000])
async def test_long_notes_are_cut_to_their_room(text: str) -> None:
    """However much the model writes, what is shown fits."""
    seen = await shown(turn(says(text)), thread(40))
    assert size(seen.messages) <= 1_000
    assert estimated_tokens(seen.messages[1]) <= MAX_NOTES_TOKENS


async def test_what_is_summarised_fits_the_model() -> None:
    """A long beginning is cut to the newest part of it, and long messages are shortened."""
    messages = [*thread(400), user("x" * 20_000, "long"), answer("ok"), *exchange(500)]
    turned = turn(says("Notes."))
    await shown(turned, messages)
    [asked] = turned.model.asked
    assert sum(estimated_tokens(message) for message in asked.call.messages) <= 1_100
    assert "Assistant: ok" in asked.texts[1][1]


async def test_tools_appear_in_what_is_summarised() -> None:
    """What was asked of tools, and what they found, is told; system messages are not."""
    system = SystemMessage(content="secret", id="s")
    messages: Messages = [system, user("one"), call("c"), result("c", "42"), answer("done"), *thread(30)]
    turned = turn(says("Notes."))
    await shown(turned, messages)
    told = turned.model.asked[0].texts[1][1]
    assert "User: one\nAssistant:  [calls search {'q': 'x'}]\nResult: 42\nAssistant: done\nUser: q0" in told
    assert "secret" not in told


@pytest.mark.parametrize("spoil", [lambda m: m[2:], lambda m: [user("only")], lambda m: m])
async def test_notes_outlive_a_thread_that_changed(spoil: Callable[[Messages], Messages]) -> None:
    """Notes whose mark is gone are not used: they may tell of what was rolled back."""
    known = {"upto": "gone", "covers": "gone", "text": "Old notes."}
    seen = await shown(turn(says("New notes.")), spoil(thread(40)), known)
    assert all("Old notes" not in str(message.content) for message in seen.messages)
