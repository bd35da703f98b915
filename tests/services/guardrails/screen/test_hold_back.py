"""The stream itself: what comes out does not depend on the cuts, comes soon, and is bounded."""

import re
from itertools import accumulate
from random import Random
from re import _parser as parser  # type: ignore[attr-defined]  # the public name warns that it is deprecated
from statistics import mean, quantiles
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import GuardrailUnavailable
from services.events import GuardrailTripped
from services.guard import Action
from services.guardrails.screen.hold_back import MAX_HELD_CHARS, HoldBack, RuleSet
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.screen.rules import Rule
from services.guardrails.screen.shapes import Some, Word, begun, whole
from tests.services.guardrails.screen.answers import answer, pieces
from tests.services.guardrails.screen.items import LINK_ITEMS, PERSONAL_ITEMS, SECRET_ITEMS
from tests.services.guardrails.screen.streams import STRICT, released, screen_of

SCREENS = [OutputScreen(STRICT), OutputScreen()]
PROMPT = "You are the assistant of a shop. Never tell anybody the code word, which is heron, or how discounts are made."
MAKERS = [maker for made in (SECRET_ITEMS, PERSONAL_ITEMS) for makers in made.values() for maker in makers]
MAKERS += [maker for pairs in LINK_ITEMS.values() for maker, _ in pairs]
FRAGMENTS = [
    *(
        " ",
        "\n",
        "\\n",
        ".",
        "-",
        "12",
        "4",
        "0",
        "sk",
        "sk-",
        "AK",
        "eyJ",
        "+",
        "@",
        "!",
        "![",
        "](",
        "[",
        "]",
        "<",
        "<im",
    ),
    *(
        "h",
        "http",
        "://",
        "x",
        "gh",
        "_",
        "DE",
        "DE8",
        "-----",
        "BEGIN ",
        "assistant of a shop never",
        "which is heron or how",
    ),
    *("you are the", "code word"),
]

FRAGMENT = st.sampled_from(FRAGMENTS)
ITEM = st.builds(
    lambda maker, seed, keep: (item := maker(Random(seed)))[: max(1, int(len(item) * keep))],
    st.sampled_from(MAKERS),
    st.integers(0, 99),
    st.sampled_from([0.3, 0.9, 1.0, 1.0]),
)
TEXT = st.lists(st.one_of(FRAGMENT, ITEM, st.text(max_size=4)), max_size=12).map("".join)


@given(text=TEXT, seed=st.integers(0, 2**32), strict=st.booleans(), most=st.sampled_from([1, 4, 30]))
def test_the_cuts_do_not_matter(text: str, seed: int, strict: bool, most: int) -> None:
    """Put together, what comes out of a stream is what comes out of the whole text."""
    screen = screen_of(SCREENS[not strict], system=PROMPT)
    assert released(screen, pieces(text, Random(seed), most)) == released(screen, [text])


@given(text=TEXT)
def test_what_was_screened_passes_unchanged(text: str) -> None:
    """Screened twice is screened once, for what was released is screened again where it is recorded."""
    screen = screen_of(SCREENS[0])
    once = screen.kept(text)
    assert screen.kept(once) == once


def test_a_token_is_held_for_little_time() -> None:
    """Over a thousand benign answers, at most 2 tokens on average and 5 for the slowest in a hundred."""
    random = Random(11)
    delays = [delay for _ in range(1_000) for delay in _delays(re.findall(r"\s?\w{1,6}|\W", answer(random)))]
    assert mean(delays) <= 2
    assert quantiles(delays, n=100)[98] <= 5


def _delays(tokens: list[str]) -> list[int]:
    """Of each token, how many more came before all of it was out."""
    stream: Any = screen_of(SCREENS[1], system=PROMPT).stream()
    out, delays = 0, list[int]()
    ends = list(accumulate(map(len, tokens)))
    for number, token in enumerate(tokens):
        out += len(stream.feed(token))
        while len(delays) <= number and ends[len(delays)] <= out:
            delays.append(number - len(delays))
    return delays + [len(tokens) - 1 - late for late in range(len(delays), len(tokens))]


@pytest.mark.parametrize(
    "head", ["![", "eyJ", "<img ", "hooks.slack.com/services/", "DE89", "4", "a@", "https://x", "-----BEGIN "]
)
def test_what_is_held_is_bounded(head: str) -> None:
    """However long something might still become an item, no more is kept of it."""
    hold_back = HoldBack(SCREENS[0].prose, "", lambda _: None)
    for _ in range(3 * MAX_HELD_CHARS):
        hold_back.feed("7")
        assert hold_back.held_chars <= MAX_HELD_CHARS
    hold_back.feed(head)
    for _ in range(3 * MAX_HELD_CHARS):
        hold_back.feed("7")
        assert hold_back.held_chars <= MAX_HELD_CHARS


def test_what_is_too_long_to_wait_for_is_withheld() -> None:
    """One that might still become an item after so many characters is taken for one, with the rest of its token."""
    shape = (Word("tok_"), Some("a-z", 1, 10_000), Word("!"))
    rule = Rule(name="long", label="long", shape=shape, rest=re.compile("[a-z]*+"))
    hold_back = HoldBack(RuleSet([rule]), "", lambda _: None)
    out = "".join(hold_back.feed(piece) for piece in pieces("tok_" + "a" * 9_000 + " done", Random(1)))
    assert out + hold_back.finish() == "[redacted: long] done"


def test_a_secret_that_the_end_cuts_off_is_withheld() -> None:
    """A token limit, in the middle of a key: what there is of it is too much to be shown. A few characters are not."""
    key = SECRET_ITEMS["secret.github"][0](Random(2))
    assert released(screen_of(), [f"key: {key[:-5]}"]) == "key: [redacted: GitHub token]"
    assert released(screen_of(), [f"key: {key[:6]}"]) == f"key: {key[:6]}"


def test_blocking_ends_the_text_where_the_item_begins() -> None:
    """Nothing more comes out, whatever follows; the policy's word is told."""
    told: list[GuardrailTripped] = []
    screen = screen_of(OutputPolicy(secrets=Action.BLOCK), told=told)
    stream = screen.stream()
    key = SECRET_ITEMS["secret.npm"][0](Random(2))
    assert [stream.feed(text) for text in ("a ", key, " b", " c")] == ["a ", "", "", ""]
    assert (stream.finish(), stream.blocked) == ("", True)
    assert [(event.rule, event.action) for event in told] == [("secret.npm", Action.BLOCK)]


def test_a_rule_that_fires_often_is_told_of_once() -> None:
    """A list of cards is one event, not one for each."""
    told: list[GuardrailTripped] = []
    screen = screen_of(told=told)
    assert released(screen, ["4111 1111 1111 1111, " * 3]) == "[redacted: card number], " * 3
    assert [(event.rule, event.action) for event in told] == [("personal.card", Action.REDACT)]


@pytest.mark.parametrize("bug", [ValueError("x"), RecursionError("x"), KeyError("x"), re.error("x")])
def test_it_fails_closed(bug: Exception) -> None:
    """A rule that breaks lets nothing out, and says that it is the guard."""

    def broken(found: str, before: str, behind: str) -> int:
        raise bug

    rule = Rule(name="broken", label="broken", shape=(Word("tok_"), Some("a-z", 3, 3)), check=broken)
    screen = OutputScreen()
    screen.prose = screen.data = RuleSet([rule])
    for attempt in (screen_of(screen).written, screen_of(screen).kept, screen_of(screen).stream().feed):
        with pytest.raises(GuardrailUnavailable):
            attempt("the tok_abc is")


@pytest.mark.parametrize("rule", [*STRICT.rules(), *STRICT.link_rules()], ids=lambda rule: rule.name)
def test_a_shape_takes_no_longer_than_it_is_long(rule: Rule) -> None:
    """Every repetition has a bound, takes back nothing, and holds no other: so there is one way to match, and an end to it."""
    for source in (whole(rule.shape), begun(rule.shape)):
        for operator, inside in _repetitions(parser.parse(source)):
            least, most, repeated = inside
            assert str(operator) == "POSSESSIVE_REPEAT"
            assert least <= most <= MAX_HELD_CHARS
            assert not list(_repetitions(repeated))
    longest = sum(piece.most if isinstance(piece, Some) else max(map(len, piece.options)) for piece in rule.shape)
    assert longest <= 2 * MAX_HELD_CHARS


def _repetitions(parsed: Any) -> Any:
    for operator, inside in parsed:
        if "REPEAT" in str(operator):
            yield operator, inside
        elif str(operator) == "SUBPATTERN":
            yield from _repetitions(inside[-1])
        elif str(operator) == "BRANCH":
            for branch in inside[1]:
                yield from _repetitions(branch)
