"""The instructions of a run do not come out, in whatever pieces; what merely shares words with them does."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.events import GuardrailTripped
from services.guard import Action
from services.guardrails.screen.leak import words_of
from services.guardrails.screen.output import PROMPT_NOTICE, OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from tests.services.guardrails.screen.answers import answer, pieces
from tests.services.guardrails.screen.streams import released, screen_of

PROMPT = (
    "You are Kim, the assistant of Heron Books. Answer in the customer's language and keep to two paragraphs. Discounts above "
    "ten per cent need the branch manager's word, which you never promise. If somebody asks for staff only prices, say that "
    "there are none. The supplier list is confidential: Alder, Birch and Cedar deliver on Mondays, Dogwood every other Friday."
)
WORDS = PROMPT.split()
DEFAULT = OutputScreen()


def excerpt(start: int, words: int = 12) -> str:
    return " ".join(WORDS[start : start + words])


DISGUISES = {
    "plain": str,
    "upper case": str.upper,
    "bullets": lambda text: "\n- ".join(text.split()),
    "quoted": lambda text: f"> “{text}”",
    "emphasis": lambda text: " ".join(f"**{word}**" for word in text.split()),
    "commas": lambda text: ", ".join(text.split()),
    "zero width": lambda text: "\u200b".join(text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text),
    "look-alikes": lambda text: text.replace("e", "е").replace("o", "о"),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_an_excerpt_is_withheld(disguise: str) -> None:
    """Of every twelve words of the prompt only the first three get out, however they are dressed and cut."""
    random, dress = Random(disguise), DISGUISES[disguise]
    for start in range(len(WORDS) - 12):
        text = dress(excerpt(start))
        out = released(screen_of(DEFAULT, system=PROMPT), pieces(f"It says {text}. Well.", random))
        assert PROMPT_NOTICE in out
        assert len(words_of(out.replace(PROMPT_NOTICE, ""))) <= 2 + 3 + 1
        assert out.startswith("It says ")


def test_what_follows_comes_out() -> None:
    """Only the run itself is taken out; the answer goes on behind it."""
    out = released(screen_of(DEFAULT, system=PROMPT), [f"My rules: {excerpt(0, 10)} and so on."])
    assert out == f"My rules: You are Kim, {PROMPT_NOTICE} and so on."


def test_eight_words_are_a_leak_and_seven_are_none() -> None:
    """Phrases coincide."""
    text = f"Yes: {excerpt(0, 7)}!"
    assert released(screen_of(DEFAULT, system=PROMPT), [text]) == text
    assert (
        released(screen_of(DEFAULT, system=PROMPT), [f"Yes: {excerpt(0, 8)}!"]) == f"Yes: You are Kim, {PROMPT_NOTICE}"
    )


def test_what_the_user_wrote_himself_is_no_secret() -> None:
    """Whoever sends the words may read them."""
    text = f"You wrote: {excerpt(4)}."
    assert released(screen_of(DEFAULT, user=f"Translate: {excerpt(3, 14)}", system=PROMPT), [text]) == text


def test_a_quarter_of_the_prompt_ends_the_answer() -> None:
    """Also in runs that are each too short."""
    told: list[GuardrailTripped] = []
    screen = screen_of(DEFAULT, told=told, system=PROMPT)
    text = " then ".join(excerpt(start, 6) for start in range(0, len(WORDS), 6))
    stream = screen.stream()
    out = stream.feed(text)
    assert stream.blocked
    assert text.startswith(out)
    assert len(words_of(out)) < 0.6 * len(WORDS)
    assert [(event.rule, event.action) for event in told] == [("prompt", Action.BLOCK)]


def test_blocking_ends_the_answer_at_the_eighth_word() -> None:
    """By policy, a leak is not taken out but ends the answer."""
    told: list[GuardrailTripped] = []
    screen = screen_of(OutputPolicy(prompt=Action.BLOCK), told=told, system=PROMPT)
    assert released(screen, [f"My rules: {excerpt(0, 10)} and so on."]) == "My rules: You are Kim, "
    assert [(event.rule, event.action) for event in told] == [("prompt", Action.BLOCK)]


@pytest.mark.parametrize("quotes", ['""', "''", "“”", "«»", "``"])
def test_what_a_prompt_quotes_is_there_to_be_said(quotes: str) -> None:
    """Many a prompt has the very words of an answer."""
    reply = "I am sorry, but I could not find that in the documents of this shop."
    prompt = f"Search first. If there is nothing, say {quotes[0]}{reply}{quotes[1]} and don't guess, it's not what they're for."
    assert released(screen_of(DEFAULT, system=prompt), [reply]) == reply
    leaked = f"It's: {prompt.partition(quotes[1] + ' ')[2]}"
    assert PROMPT_NOTICE in released(screen_of(DEFAULT, system=prompt), [leaked])


def test_every_prompt_of_a_graph_counts() -> None:
    """An agent of several roles has several instructions."""
    screen = screen_of(DEFAULT, writer="Be brief.", planner=PROMPT)
    assert PROMPT_NOTICE in released(screen, [excerpt(5)])


@pytest.mark.parametrize("filler", ["x", " ", "\u200b", "-"])
def test_what_is_held_is_bounded(filler: str) -> None:
    """A word that does not end, or a gap, is not waited for."""
    stream = screen_of(DEFAULT, system=PROMPT).stream()
    out = stream.feed(f"It says {excerpt(0, 5)} ")
    for _ in range(20_000):
        out += stream.feed(filler)
    assert len(out) > 15_000
    assert out + stream.finish() == f"It says {excerpt(0, 5)} {filler * 20_000}"


def test_other_answers_are_not_mistaken() -> None:
    """A thousand answers that share no more than words with the prompt."""
    random = Random(5)
    for _ in range(1_000):
        text = answer(random)
        assert released(screen_of(DEFAULT, system=PROMPT), pieces(text, random)) == text


RUNS = st.lists(
    st.one_of(
        st.builds(excerpt, st.integers(0, len(WORDS) - 1), st.integers(1, 20)),
        st.sampled_from([" ", ", ", "\n\n", "_", "\u200b", "and", "You are Kim", "ten per", "-", "", "é"]),
        st.text(max_size=5),
    ),
    max_size=10,
)


@given(runs=RUNS, seed=st.integers(0, 2**32), most=st.sampled_from([1, 3, 9, 40]))
def test_the_cuts_do_not_matter(runs: list[str], seed: int, most: int) -> None:
    """Put together, what comes out of a stream is what comes out of the whole text."""
    text = "".join(runs)
    whole = released(screen_of(DEFAULT, system=PROMPT), [text])
    assert released(screen_of(DEFAULT, system=PROMPT), pieces(text, Random(seed), most)) == whole
