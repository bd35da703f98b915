"""The page: what it says, and that nobody else writes it."""

from html.parser import HTMLParser

import pytest

from evaluation.offline.reading import became_worse, worst
from evaluation.offline.runner import Marking
from tests.evaluation.fakes import FakeJudge
from tests.evaluation.offline.pages import HOSTILE, page_of, page_saying, shown
from tests.evaluation.offline.scripted import a_result, results_of

MARKING = Marking(criteria=("helpfulness", "safety", "latency"), judge=FakeJudge())


class Tags(HTMLParser):
    """Gathers what a browser would make elements of, and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    return tags


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_text(text: str) -> None:
    """In a question, an answer, a reference, a reason, a tag, a tool, a failure and every name the page has the elements that
    it has with plain words there, and the text is read as it was written, but for characters that are none.
    """
    hostile, plain = parsed(page_saying(text)), parsed(page_saying("words"))
    assert hostile.found == plain.found
    assert hostile.attributes == plain.attributes
    assert not hostile.found.keys() & {"script", "img", "iframe"}
    assert shown(text) in hostile.text
    page_saying(text).encode("utf-8")


def test_the_page_may_load_and_run_nothing() -> None:
    page = page_of(results_of(MARKING, [a_result("c1", passed=1.0)]))
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "url(" not in page


def test_figures_come_with_their_interval_and_their_judge() -> None:
    """And with what is not known: what is unscored, and that the judge is not calibrated."""
    cases = [a_result(str(at), passed=float(at < 18), helpfulness=8.0 if at else None) for at in range(20)]
    text = parsed(page_of(results_of(MARKING, cases))).text
    assert "passed90 %70 to 97 %20code" in text
    assert "helpfulness8.008.00 to 8.0019 (1 unscored)judge-1/fake, rubric 2: not calibrated" in text
    assert "latencyunscored20" in text.replace(" less is better", "")


def test_a_comparison_says_what_has_changed_and_shows_it() -> None:
    before = results_of(MARKING, [a_result(str(at), passed=1.0, safety=0.0) for at in range(20)], name="old")
    after = results_of(
        MARKING, [a_result(str(at), f"answer {at}", passed=float(at >= 10), safety=float(at == 3)) for at in range(20)]
    )
    page = parsed(page_of(after, before))
    assert "new against old" in page.text
    assert "passed-50 points" in page.text
    assert "0 up, 10 same, 10 down0.00200.0039worse" in page.text
    # What is worse in two ways comes first.
    worse = page.text[page.text.index("Worse than the baseline") :]
    assert worse.index("answer 3") < worse.index("answer 0")


def test_cases_to_read_first_are_the_failed_and_then_the_worst() -> None:
    measures = MARKING.measures
    good, bad = a_result("good", passed=1.0, helpfulness=9.0), a_result("bad", passed=0.0, helpfulness=9.0)
    unsafe = a_result("unsafe", passed=1.0, helpfulness=9.0, safety=1.0)
    failed = type(good)(**{**{name: getattr(good, name) for name in good.__slots__}, "id": "failed", "failure": "x"})
    order = [case.id for case in worst([good, unsafe, bad, failed], measures)]
    assert order == ["failed", "bad", "unsafe", "good"]
    was = {"bad": a_result("bad", passed=1.0, helpfulness=9.0), "good": good}
    assert [case.id for case in became_worse([good, bad, unsafe], was, measures)] == ["bad"]
