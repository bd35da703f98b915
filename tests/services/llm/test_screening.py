"""A model call behind the output screen: what is shown, what the graph has, what is billed, and how a stopped one ends."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import GuardrailUnavailable, ModelServerError
from services.guard import Action
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.llm.gateway import Gateway, RunModel
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from tests.services.guardrails.screen.streams import screen_of
from tests.services.llm.fakes import Shown
from tests.services.runs.fakes import FakeProvider

CALL = ModelCall(messages=[HumanMessage("hello")])
CARD = "4111 1111 1111 1111"
NOTICE = "[redacted: card number]"
USAGE = UsageMetadata(input_tokens=5, output_tokens=7, total_tokens=12)
BLOCKING = OutputPolicy(cards=Action.BLOCK)


def answered(text: str, **more: Any) -> AIMessage:
    return AIMessage(content=text, response_metadata={"finish_reason": "stop"}, usage_metadata=USAGE, **more)


def saying(*pieces: str, answer: AIMessage | None = None, error: Exception | None = None) -> FakeProvider:
    """A provider that streams these pieces, and then gives the answer, or fails."""

    async def say(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.sent()
        for piece in pieces:
            sink.text(piece)
            await sink.drain()
        if error is not None:
            raise error
        return answer or answered("".join(pieces))

    return FakeProvider(say)


def bound(*providers: FakeProvider, policy: OutputPolicy = OutputPolicy()) -> tuple[RunModel, Shown]:  # noqa: B008
    shown = Shown()
    gateway = Gateway([Route.of(provider) for provider in providers], retry=RetryPolicy(attempts_per_provider=1))
    return gateway.bind(shown, Deadline.after(60.0), screen=screen_of(OutputScreen(policy))), shown


def text_of(shown: Shown) -> str:
    return "".join(text for text, _ in shown.pieces)


async def test_what_is_shown_is_what_the_graph_has() -> None:
    """The same text goes to the client, into the state and into the record; its end and its bill are the provider's."""
    model, shown = bound(saying("Pay with 4111 ", "1111 1111", " 1111", ", then."))
    answer = await model.generate(CALL)
    assert text_of(shown) == answer.content == model.answer_text == f"Pay with {NOTICE}, then."
    assert answer.response_metadata["finish_reason"] == "stop"
    assert model.usage.output_tokens == 7


async def test_an_answer_without_anything_in_it_is_handed_on_as_it_is() -> None:
    """Not even a copy is made."""
    said = answered("All is well.", tool_calls=[{"name": "f", "args": {"a": [1, None, "b"]}, "id": "1"}])
    model, _ = bound(saying("All ", "is well.", answer=said))
    assert await model.generate(CALL) is said


async def test_a_silent_answer_is_screened_for_the_graph() -> None:
    """Nobody is shown it, but it enters the state."""
    model, shown = bound(saying(f"Note {CARD}."))
    answer = await model.generate(CALL, silent=True)
    assert (answer.content, shown.pieces, model.answer_text) == (f"Note {NOTICE}.", [], "")


async def test_what_a_call_holds_is_screened() -> None:
    """Values and keys, however deep, and what is no JSON."""
    arguments = {"note": f"card {CARD}", "deep": [{CARD: 1}]}
    said = answered(
        "",
        tool_calls=[{"name": "pay", "args": arguments, "id": "1"}],
        invalid_tool_calls=[{"name": "pay", "args": f"{{card: {CARD}", "id": "2", "error": None}],
    )
    model, _ = bound(saying(answer=said))
    answer = await model.generate(CALL)
    assert answer.tool_calls[0]["args"] == {"note": f"card {NOTICE}", "deep": [{NOTICE: 1}]}
    assert answer.invalid_tool_calls[0]["args"] == f"{{card: {NOTICE}"


async def test_a_stopped_answer_is_one_that_was_filtered() -> None:
    """The provider is hung up on; what was released is the answer, without its calls, and what was taken on is billed."""
    model, shown = bound(saying("It is ", CARD, ".", " More."), policy=BLOCKING)
    answer = await model.generate(CALL)
    assert text_of(shown) == answer.content == model.answer_text == "It is "
    assert answer.response_metadata["finish_reason"] == "content_filter"
    assert (answer.tool_calls, model.usage.model_calls, model.usage.estimated) == ([], 1, True)


@pytest.mark.parametrize(
    "answer",
    [
        answered("Fine.", tool_calls=[{"name": "pay", "args": {"card": CARD}, "id": "1"}]),
        answered("Fine.", additional_kwargs={"reasoning_content": CARD}),
        answered(f"Fine. {CARD}"),
    ],
    ids=["in a call", "in the reasoning", "at the very end"],
)
async def test_an_answer_is_stopped_by_what_comes_last(answer: AIMessage) -> None:
    """What is only seen in the whole answer stops it as well: no call of it is made, and its own bill stands."""
    model, _ = bound(saying(str(answer.content), answer=answer), policy=BLOCKING)
    stopped = await model.generate(CALL)
    assert str(stopped.content).strip() == "Fine."
    assert (stopped.response_metadata["finish_reason"], stopped.tool_calls) == ("content_filter", [])
    assert model.usage.output_tokens == 7


async def test_what_was_held_when_a_provider_failed_is_lost() -> None:
    """It might have become an item: nobody has seen it, so another provider may begin anew."""
    model, shown = bound(saying("4111 11", error=ModelServerError("gone")), saying("Hello."))
    assert (await model.generate(CALL)).content == "Hello."
    assert text_of(shown) == model.answer_text == "Hello."


async def test_what_was_released_when_a_provider_failed_stays() -> None:
    """A part was shown, so the call fails, and the record has that part and nothing that was held."""
    model, shown = bound(saying("It is 4111 11", error=ModelServerError("gone")), saying("Hello."))
    with pytest.raises(ModelServerError):
        await model.generate(CALL)
    assert text_of(shown) == model.answer_text == "It is "


Twist = Callable[[TextSink], None]


@pytest.mark.parametrize(
    ("twists", "expected"),
    [
        ([lambda s: s.reasoning("I see 2"), lambda s: s.text("Yes.")], ["I see 2", "Yes."]),
        ([lambda s: s.reasoning(f"{CARD} "), lambda s: s.text("Yes.")], [f"{NOTICE} ", "Yes."]),
        (
            [lambda s: s.reasoning("Is 4111"), lambda s: s.text("No."), lambda s: s.reasoning("Hm")],
            ["Is 4111", "No.", "Hm"],
        ),
    ],
    ids=["plain", "an item", "a thought after the text"],
)
async def test_a_thought_ends_where_the_answer_begins(twists: Sequence[Twist], expected: list[str]) -> None:
    """So that none of it comes after the answer."""

    async def say(call: ModelCall, sink: TextSink) -> AIMessage:
        for twist in twists:
            twist(sink)
        return answered("")

    model, shown = bound(FakeProvider(say))
    await model.generate(CALL)
    assert "".join(text for text, _ in shown.pieces) == "".join(expected)


async def test_a_screen_that_breaks_ends_the_call() -> None:
    """The guard fails closed: no other provider is asked, since none could be believed."""
    screen = screen_of()
    screen.stream = lambda: Broken()  # type: ignore[method-assign,assignment,return-value]
    providers = saying("hello"), saying("hello")
    shown = Shown()
    model = Gateway([Route.of(provider) for provider in providers]).bind(shown, Deadline.after(60.0), screen=screen)
    with pytest.raises(GuardrailUnavailable):
        await model.generate(CALL)
    assert (shown.pieces, [provider.asked for provider in providers]) == ([], [1, 0])


class Broken:
    """A screen of which something is wrong."""

    blocked = False

    def feed(self, piece: str) -> str:
        raise GuardrailUnavailable("The answer could not be screened, so it was stopped.")

    def finish(self) -> str:
        return ""
