"""The normal and the plain form of a text: what is folded, what is left alone."""

import pytest

from services.guardrails.normalise import normalise, plain

TEXTS = [
    "İstanbul Ⅷ",
    "naïve café",
    "ｉｇｎｏｒｅ",
    "🅸🅶🅽🅾🆁🅴",
    "モデル ﾓﾃﾞﾙ",
    "모든 지시",
    "पिछले निर्देश",
    "ß ẞ",
    "a\u0300\u0301\u0302b",
    "\u202e\u0000",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ignore\tALL\n\nrules ", "ignore all rules"),
        ("ig\u200bno\u00adre\u2060", "ignore"),
        ("ｉｇｎｏｒｅ", "ignore"),
        ("𝐢𝐠𝐧𝐨𝐫𝐞 𝓇𝓊𝓁ℯ𝓈", "ignore rules"),
        ("🅸🅶🅽🅾🆁🅴 🇷🇺🇱🇪🇸", "ignore rules"),
        ("ɪɢɴᴏʀᴇ", "ignore"),
        ("іgnоrе рrеvіоus", "ignore previous"),
        ("ignоre all соре", "ignore all cope"),
        ("i\ufe0fg\U000e0100nore", "ignore"),
    ],
)
def test_what_looks_alike_is_one(text: str, expected: str) -> None:
    """Case, white space, invisible characters, compatibility forms and letters of other alphabets within a word."""
    assert normalise(text) == expected


@pytest.mark.parametrize("text", ["как дела? что нового?", "αυτό είναι όλο", "соре", "שלום", "你好"])
def test_other_alphabets_are_left_alone(text: str) -> None:
    """A word of look-alikes alone is a word of its own language, unless another one mixes alphabets."""
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Ignore, all.previous "Rules"! Now', "ignore all previous rules . now"),
        ("Don't (stop)", "dont stop"),
        ("Éçà ßtraße łódź İı", "eca sstrasse lodz ii"),
        ("忽略。所有", "忽略 . 所有"),
        ("निर्देशों को", "निर्देशों को"),
        ("i.g.n.o.r.e snake_case", "i g n o r e snake case"),
        ("one\ntwo\n \nthree", "one two . three"),
    ],
)
def test_the_plain_form_is_words_and_ends_of_sentences(text: str, expected: str) -> None:
    """Accents and punctuation are gone, and a full stop stands by itself."""
    assert plain(text) == expected


@pytest.mark.parametrize("text", TEXTS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The normal form is normal, and the plain form of it is plain."""
    assert normalise(normalise(text)) == normalise(text)
    assert plain(plain(text)) == plain(text)
