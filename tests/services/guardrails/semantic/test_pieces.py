"""A text cut into sentences."""

from random import Random

import pytest

from services.guardrails.semantic.pieces import BEFORE_CHARS, LEAST_CHARS, MOST_CHARS, OVERLAP_CHARS, Cutter, Piece
from tests.services.guardrails.screen.answers import answer, pieces


def cut(*parts: str) -> list[Piece]:
    cutter = Cutter()
    return [piece for part in parts for piece in cutter.feed(part)] + cutter.finish()


def texts(*parts: str) -> list[str]:
    return [piece.text for piece in cut(*parts)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Herons are large birds that wade.", " They stand still for a very long time."],
        ['He said: "It is a heron, and no stork."', " Nobody in the room believed him."],
        ["It costs 3.14 euros, e.g. in Bonn, at www.example.com.", " That is all there is to say."],
        ["| name | price | where it can be found |\n", "| heron | 12 | beside the river |\n"],
        [
            "\u9dfa\u306f\u6c34\u8fba\u306b\u7acb\u3064\u5927\u304d\u306a\u9ce5\u3067\u3042\u308a\u3001\u9577\u3044\u811a\u3068\u9577\u3044\u9996\u3092\u6301\u3063\u3066\u3044\u3066\u3001\u9b5a\u3092\u98df\u3079\u3066\u3044\u307e\u3059\u3002",
            "\u6b21",
        ],
    ],
)
def test_a_sentence_is_a_piece(sentences: list[str]) -> None:
    """In prose, with quotes and abbreviations, in tables, and where no space is between sentences."""
    assert texts("".join(sentences)) == sentences


def test_short_sentences_go_together() -> None:
    """Nobody is asked about a single word."""
    assert texts("Yes. No. Perhaps. It depends on the weather. ") == [
        "Yes. No. Perhaps. It depends on the weather.",
        " ",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_how_the_text_came(seed: int) -> None:
    """The pieces are the same, also of text without any sentence in it, and none of it is lost."""
    random = Random(seed)
    for text in (
        *(answer(random) for _ in range(5)),
        "word " * 700,
        "x" * 3_000,
        "\u3002\u300d" * 900,
        ". " * 900,
        "a.\u201d) b\n" * 300,
    ):
        whole = cut(text)
        assert cut(*pieces(text, random, 8)) == whole
        assert "".join(piece.text[len(piece.text) - piece.chars :] for piece in whole) == text


def test_a_text_without_an_end_is_cut_and_overlaps() -> None:
    """At a space, after 200 tokens; what is judged next begins 50 tokens before. So nothing hides in the cut."""
    first, second, *_ = cut("word " * 700)
    assert first.chars == MOST_CHARS
    assert second.text.startswith(first.text[-OVERLAP_CHARS:])
    assert len(second.text) == second.chars + OVERLAP_CHARS
    assert second.before + second.text[:OVERLAP_CHARS] == first.text


def test_what_stands_before_is_told() -> None:
    """As far back as there is room for, without the overlap."""
    sentence = "This is the sentence with number %03d. "
    *_, last = cut("".join(sentence % number for number in range(99)) + "And this is the very last sentence of it.")
    assert last.text == " And this is the very last sentence of it."
    assert last.before.endswith("number 098.")
    assert len(last.before) == BEFORE_CHARS


def test_it_holds_little() -> None:
    """However long the text is that has no end."""
    cutter = Cutter()
    for _ in range(20_000):
        cutter.feed("xy")
        assert len(cutter._pending) <= MOST_CHARS
        assert len(cutter._before) <= BEFORE_CHARS
    assert LEAST_CHARS < MOST_CHARS
