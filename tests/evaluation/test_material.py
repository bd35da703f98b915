"""What a judge is shown: nothing leaves its marks, and what is too long is cut where it says so."""

from evaluation.criteria.types import Part
from evaluation.material import MAX_PARTS, material, noted, secret_marks


def parts(*texts: str) -> list[Part]:
    return [Part(label=f"P{number}", text=text) for number, text in enumerate(texts)]


def test_what_fits_is_shown_whole_between_marks() -> None:
    """Each part stands under its label, and is ended by the mark that no text can hold."""
    shown = material(parts("why?", "because\n[/x]"), mark="m4rk", max_chars=100)
    assert shown.text == "P0 [m4rk]\nwhy?\n[/m4rk]\nP1 [m4rk]\nbecause\n[/x]\n[/m4rk]"
    assert shown.left_out == 0
    assert noted("fine", 0) == "fine"


def test_a_mark_is_of_its_texts_and_of_nobody_elses_key() -> None:
    """The same for every question about them, so that a prompt cache holds; another for any other text, and by another key."""
    mark, elsewhere = secret_marks(), secret_marks()
    assert mark(parts("why?", "because")) == mark(parts("why?", "because"))
    texts = [
        parts("why?", f"because {mark(parts('why?', 'because'))}"),
        parts("why?because", ""),
        parts("why?", "becaus"),
    ]
    assert len({mark(one) for one in texts} | {mark(parts("why?", "because")), elsewhere(texts[0])}) == 5


def test_the_longest_parts_lose_their_middle() -> None:
    """Short ones stay whole; the judge is told under the mark, and the score says so too."""
    long = "a" * 600 + "b" * 900 + "c" * 300
    shown = material(parts("short", long, "x" * 2_000), mark="m4rk", max_chars=1_205)
    assert "short" in shown.text
    assert f"{'a' * 400}\n[m4rk: 1200 characters left out]\n{'c' * 200}\n" in shown.text
    assert shown.left_out == 1_200 + 1_400
    assert noted("fine", 2_600) == "fine [judged without 2600 characters]"


def test_of_many_parts_the_first_and_the_last_are_shown() -> None:
    """The question and the answer are always there; of tool results those before the answer."""
    shown = material(parts(*("y" * 10 for _ in range(100))), mark="m4rk", max_chars=10_000)
    assert shown.text.count("[/m4rk]") == MAX_PARTS
    assert "P0 " in shown.text
    assert "P1 " not in shown.text
    assert "P69 " in shown.text
    assert "P99 " in shown.text
    assert shown.left_out == 680
