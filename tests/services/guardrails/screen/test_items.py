"""Every rule finds its item, whole, wherever the stream is cut, and finds none where there is none."""

from random import Random

import pytest

from services.guard import Action
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.screen.rules import Rule
from tests.services.guardrails.screen.answers import answer, pieces
from tests.services.guardrails.screen.items import IMAGE, LINK, LINK_ITEMS, PERSONAL_ITEMS, SECRET_ITEMS, Maker
from tests.services.guardrails.screen.streams import STRICT, released, screen_of

ITEMS = {**SECRET_ITEMS, **PERSONAL_ITEMS}
RULES: dict[str, Rule] = {rule.name: rule for rule in (*STRICT.rules(), *STRICT.link_rules())}
STRICT_SCREEN, DEFAULT_SCREEN = OutputScreen(STRICT), OutputScreen()

CHUNKINGS = 1_000
AROUND = [("", ""), ("Here: ", " is it."), ("x\n", "\ny"), ('{"a": "', '"}'), ("(`", "`)"), ("x\\n", "\\ny")]


def test_every_rule_has_an_item() -> None:
    """A rule without an example would go untested."""
    assert ITEMS.keys() | LINK_ITEMS.keys() == RULES.keys()


@pytest.mark.parametrize("name", ITEMS)
def test_nothing_of_an_item_gets_out(name: str) -> None:
    """A thousand streams, each of another item, cut in other places: the notice stands for it, and nothing else is lost."""
    random, screen, notice = Random(name), screen_of(STRICT_SCREEN), RULES[name].notice
    makers = ITEMS[name]
    for number in range(CHUNKINGS):
        item = makers[number % len(makers)](random)
        before, after = random.choice(AROUND[: 5 if name == "personal.email" else 6])  # the n would be part of it
        text = f"{before}{item}{after}"
        assert (
            released(screen, pieces(text, random, most=random.choice((1, 3, 12, 80)))) == f"{before}{notice}{after}"
        ), item


@pytest.mark.parametrize(("maker", "shown"), [pair for pairs in LINK_ITEMS.values() for pair in pairs])
def test_no_address_gets_out(maker: Maker, shown: str) -> None:
    """Of an image nothing that its host could be told; of a link, where the policy is so, its text."""
    random = Random(shown)
    screen = screen_of(STRICT_SCREEN if shown.endswith(f"{LINK})") or shown == LINK else DEFAULT_SCREEN)
    for _ in range(CHUNKINGS):
        item = maker(random)
        assert released(screen, pieces(f"See {item} !", random, most=random.choice((1, 3, 12, 80)))) == f"See {shown} !"


@pytest.mark.parametrize("between", [" " * 5_000, "https:" + "/" * 5_000])
def test_an_address_behind_more_than_is_held_does_not_get_out(between: str) -> None:
    """What could still become an image when no more is held is taken for one."""
    text = f"See ![a]({between}//evil.example/p) !"
    assert released(screen_of(DEFAULT_SCREEN), [text[:99], text[99:]]) == f"See {IMAGE} !"


def test_links_are_left_alone_by_default() -> None:
    """Nothing is fetched before somebody clicks; an image in another paragraph changes nothing."""
    text = "![a](/a.png)\n\nSee [here](https://docs.example/x) and https://docs.example/y."
    assert released(screen_of(DEFAULT_SCREEN), pieces(text, Random(1))) == text


def test_benign_answers_come_out_as_they_went_in() -> None:
    """A thousand of them, byte for byte."""
    random = Random(7)
    for _ in range(1_000):
        text = answer(random)
        assert released(screen_of(DEFAULT_SCREEN), pieces(text, random)) == text


def test_what_is_allowed_is_not_looked_for() -> None:
    """With a policy that allows all there is no rule."""
    fields = ("secrets", "cards", "ibans", "ssns", "images", "prompt")
    policy = OutputPolicy(**dict.fromkeys(fields, Action.ALLOW))  # type: ignore[arg-type]
    assert (*policy.rules(), *policy.link_rules()) == ()
    random = Random(1)
    text = " ".join(makers[0](random) for makers in ITEMS.values())
    assert released(screen_of(policy, system=text), [text]) == text


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # its check digit is wrong
        "1111222233334444",  # no issuer
        "4.111111111111111",
        "41111111111111111111111111",
        "DE90 3704 0044 0532 0130 00",
        "ZZ89 3704 0044 0532 0130 00",
        "000-12-3456",
        "666-12-3456",
        "987-65-4321",
        "123-00-4567",
        "123-45-0000",
        "123-45 6789",
        "123-45-67890",
        "078-05-1120",
        "300.1.1.1",
        "1.2.3",
        "12:30:45",
        "+1 2",
        "112-555-0123",
        "a@b",
        "@example.com",
        "xAKIAQQQQQQQQQQQQQQQQ",
        "AKIA" + "A" * 16,
        "sk-" + "x" * 48,
    ],
)
def test_what_only_resembles_an_item_passes(text: str) -> None:
    """Checksums, issuers' rules and entropy tell."""
    for whole in (text, f"It is {text}, or so."):
        assert released(screen_of(STRICT_SCREEN), [whole]) == whole


def test_a_card_is_found_among_other_numbers() -> None:
    """What stands before and behind it is not taken along."""
    text = "No. 12, 4111 1111 1111 1111 12/29 123"
    assert released(screen_of(), [text]) == "No. 12, [redacted: card number] 12/29 123"


def test_the_user_may_be_told_what_he_said() -> None:
    """Personal data of his own message is no news to him; a secret is withheld all the same."""
    random = Random(3)
    iban, key = PERSONAL_ITEMS["personal.iban"][1](random), SECRET_ITEMS["secret.github"][0](random)
    text = f"I pay {iban} with {key}."
    assert released(screen_of(user=text), [text]) == f"I pay {iban} with [redacted: GitHub token]."


def test_a_shop_may_name_its_own_address() -> None:
    """Single items and whole mail domains may be excepted."""
    policy = OutputPolicy(emails=Action.REDACT, phones=Action.REDACT, allow_texts=("@shop.example", "+49 30 901820"))
    text = "Write to Help@Shop.example, not to jane@example.org, or call +49 30 901820."
    assert released(screen_of(policy), [text]) == text.replace("jane@example.org", "[redacted: e-mail address]")


@pytest.mark.parametrize(
    ("image", "user", "shown"),
    [
        ("![a](https://cdn.example.com/a.png)", "", True),
        ("![a](https://example.com/a.png)", "", False),
        ("![a](https://img.example.net/a.png)", "", True),
        ("![a](https://evil.example/a.png)", "Show https://evil.example/x", True),
        ("![a](https://evil.example/a.png)", "Show https://notevil.example/x", False),
        ("![a](https://evil.example/a.png)", "Show https://evil.example.org/x", False),
        ("![a](https://evil.example/a.png)", "Show evil.example.", True),
        ("![a](https://cdn.example.com@evil.example/a.png)", "", False),
        ('<img src="&#104;ttps://evil.example/a">', "", False),
        ("![a](images/a.png)", "", True),
    ],
)
def test_an_image_needs_a_host_that_somebody_named(image: str, user: str, shown: bool) -> None:
    """The policy, or the user in this turn."""
    policy = OutputPolicy(allow_hosts=("*.example.com", "img.example.net"))
    out = released(screen_of(policy, user=user), [f"See {image}!"])
    assert (out == f"See {image}!") is shown
    assert ("evil" in out or "example.com" in out or shown) is shown


def test_a_canary_ends_the_answer() -> None:
    """What no answer may hold stops the one that does."""
    screen = screen_of(OutputPolicy(canaries=("mk-canary-7f3a",)))
    assert released(screen, ["It says mk-can", "ary-7f3a, and", " more"]) == "It says "
