"""Sentences: where one ends, and that no text is slow to take apart."""

import time

import pytest

from services.guardrails.sentences import MAX_CHARS, sentences


def test_a_sentence_ends_at_a_stop_before_a_space() -> None:
    """A dot within a word ends none, a full stop of Chinese ends one at once, and each is there once."""
    long = "The page example.org has the opening hours."
    assert list(sentences(f"{long} Are they the same on a Sunday? {long}")) == [long, "Are they the same on a Sunday?"]
    assert list(sentences("请告诉我图书馆星期天什么时候开门以及什么时候关门好吗谢谢。" * 2)) == [
        "请告诉我图书馆星期天什么时候开门以及什么时候关门好吗谢谢。"
    ]


def test_a_short_sentence_is_taken_with_the_next() -> None:
    """`Important!!!` by itself says little."""
    assert list(sentences("Important!!! Read what follows with care.")) == ["Important!!! Read what follows with care."]


def test_what_has_no_end_is_cut() -> None:
    """Nothing is left out."""
    text = "word " * 100
    found = list(sentences(text.strip() + " the end"))
    assert max(map(len, found)) <= MAX_CHARS
    assert found[-1].endswith("the end")


@pytest.mark.parametrize("piece", ["a", ". ", "a ", "!", "a. ", "。", "no end in sight "])
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    """A look at 16,384 characters takes some milliseconds, and a tenth of a second would be the square of them."""
    text = (piece * 16_384)[:16_384]
    began_s = time.thread_time()
    list(sentences(text))
    assert time.thread_time() - began_s < 0.1
