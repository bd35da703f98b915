"""The page as a browser makes it: what is drawn, what can be read and worked, and that nobody else runs or loads anything."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser import Browser, started
from tests.evaluation.offline.pages import HOSTILE, page_saying, shown, whole_page

REVERSED = "\u202ecba"
"""Turns round whatever stands behind it in the same line, unless that is kept apart."""

UNBROKEN = "x" * 300

MARKUP = """<script>window.ran = 1</script><img src="http://127.0.0.1:9/a.png" onerror="window.ran = 1">
<iframe src="http://127.0.0.1:9/b"></iframe><link rel="stylesheet" href="http://127.0.0.1:9/c.css">
<a id="link" href="javascript:window.ran = 1">link</a><form action="http://127.0.0.1:9/d"></form>
<base href="http://127.0.0.1:9/e/">"""

PLOTS = """
const box = (one) => { const {left, top, right, bottom} = one.getBoundingClientRect(); return {left, top, right, bottom}; };
const ground = (one) => {
  const color = getComputedStyle(one).backgroundColor;
  return color === 'rgba(0, 0, 0, 0)' ? ground(one.parentElement) : color;
};
return [...document.querySelectorAll('svg')].map((plot) => ({
  ...box(plot), ground: ground(plot), within: plot.parentElement.tagName,
  marks: [...plot.children].map((mark) => ({
    ...box(mark), tag: mark.tagName, paint: getComputedStyle(mark)[mark.tagName === 'line' ? 'stroke' : 'fill'],
  })),
}));
"""

TEXTS = """
const ground = (one) => {
  const color = getComputedStyle(one).backgroundColor;
  return color === 'rgba(0, 0, 0, 0)' ? ground(one.parentElement) : color;
};
const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), found = [];
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim(), within = walker.currentNode.parentElement;
  const style = getComputedStyle(within);
  if (text) found.push({text, ground: ground(within), ink: within.tagName === 'text' ? style.fill : style.color});
}
return found;
"""

BEYOND = """
const main = document.querySelector('main'), style = getComputedStyle(main);
const edge = main.getBoundingClientRect().right - parseFloat(style.paddingRight) + 0.5;
const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT), found = [];
while (walker.nextNode()) {
  if (walker.currentNode.parentElement.closest('.scroll')) continue;
  const range = document.createRange();
  range.selectNodeContents(walker.currentNode);
  if (range.getBoundingClientRect().right > edge) found.push(walker.currentNode.data.slice(0, 40));
}
const page = document.documentElement;
return {found, by: page.scrollWidth - page.clientWidth};
"""

READ_FROM_THE_LEFT = """
const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), found = [];
const left = (node, at) => {
  const range = document.createRange();
  range.setStart(node, at);
  range.setEnd(node, at + 1);
  return range.getBoundingClientRect().left;
};
while (walker.nextNode()) {
  const node = walker.currentNode, at = node.data.indexOf(arguments[0]);
  if (at >= 0) found.push(left(node, at) < left(node, at + arguments[0].length - 1));
}
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def written(folder: Path, page: str) -> Path:
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def elements(browser: Browser) -> Counter[str]:
    """How many elements of which name there are."""
    return Counter(browser.run("return [...document.querySelectorAll('*')].map((one) => one.tagName)"))


def asked_for(events: list[dict[str, Any]]) -> list[str]:
    """The addresses that were asked for, but for what the page's own policy held back and what the browser has in itself: the
    pictures of its first tab, and of the page that says that a frame was forbidden.
    """
    forbidden = {
        event["params"]["requestId"]
        for event in events
        if event["method"] == "Network.loadingFailed" and event["params"].get("blockedReason") == "csp"
    }
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    addresses = [one["request"]["url"] for one in requests if one["requestId"] not in forbidden]
    return [address for address in addresses if not address.startswith(("data:", "chrome:"))]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by WCAG 2.2."""

    def luminance(color: str) -> float:
        shares = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_runs_loads_and_changes_nothing(browser: Browser, tmp_path: Path, text: str) -> None:
    """The page has the elements it has with plain words, asks for nothing, opens no dialog and has nothing to complain of."""
    browser.open(written(tmp_path, page_saying("words")))
    plain = elements(browser)
    path = written(tmp_path, page_saying(text))
    browser.open(path)
    assert elements(browser) == plain
    assert shown(text) in browser.run("return document.querySelector('article').textContent")
    events = browser.events()
    assert asked_for(events) == [path.as_uri()]
    assert not [event for event in events if event["method"] == "Page.javascriptDialogOpening"]
    assert browser.complaints() == []


def test_markup_that_got_into_the_page_would_run_and_load_nothing(browser: Browser, tmp_path: Path) -> None:
    """The page's policy holds if a text ever becomes markup: script, image, frame, style sheet, link, form and base are of no
    effect.
    """
    before, _, after = page_saying("PLACE").rpartition("PLACE")
    path = written(tmp_path, before + MARKUP + after)
    browser.open(path)
    browser.run("document.getElementById('link').click()")
    browser.run("document.querySelector('form').submit()")
    assert browser.run("return window.ran ?? 'not run'") == "not run"
    assert asked_for(browser.events()) == [path.as_uri()]
    assert browser.run("return document.baseURI") == path.as_uri()
    assert len([one for one in browser.complaints() if "Content Security Policy" in one]) >= 7


def test_every_plot_is_drawn(browser: Browser, tmp_path: Path) -> None:
    """A distribution and the moves of each measure, and the intervals: shapes with a size, in sight, in the page's colours."""
    browser.open(written(tmp_path, whole_page()))
    plots = browser.run(PLOTS)
    assert Counter(plot["within"] for plot in plots) == {"FIGURE": 10, "TD": 10}
    for plot in plots:
        assert 0 <= plot["left"] < plot["right"] <= 1400
        assert {mark["tag"] for mark in plot["marks"]} >= ({"rect"} if plot["within"] == "FIGURE" else {"circle"})
        for mark in plot["marks"]:
            width, height = mark["right"] - mark["left"], mark["bottom"] - mark["top"]
            assert (max if mark["tag"] == "line" else min)(width, height) > 0, mark
            assert plot["left"] - 1 <= mark["left"] < mark["right"] + 1 <= plot["right"] + 2, mark
            assert plot["top"] - 1 <= mark["top"] < mark["bottom"] + 1 <= plot["bottom"] + 2, mark
            assert mark["paint"] not in ("none", "rgb(0, 0, 0)", plot["ground"]), mark


def test_every_plot_has_a_name(browser: Browser, tmp_path: Path) -> None:
    """Who cannot see a plot is told that it is an image, and what of."""
    browser.open(written(tmp_path, whole_page()))
    plots = browser.driver.find_elements("css selector", "svg")
    assert {plot.aria_role for plot in plots} <= {"img", "image"}
    names = Counter(re.sub(r"-?\d+\.\d{3}", "N", plot.accessible_name) for plot in plots)
    measures = ("answered", "passed", "helpfulness", "safety", "latency")
    assert names == {
        **{f"Distribution of {name}": 1 for name in measures},
        **{f"Differences in {name}, case by case": 1 for name in measures},
        "N, from N to N": 10,
    }


def test_all_cases_open_and_close_by_click_and_by_key(browser: Browser, tmp_path: Path) -> None:
    """The table of all cases is folded at first; Tab reaches it, Enter and Space unfold and fold it."""

    def unfolded() -> bool:
        return bool(browser.run("return document.querySelector('details table').checkVisibility()"))

    browser.open(written(tmp_path, whole_page()))
    summary = browser.driver.find_element("css selector", "summary")
    assert not unfolded()
    summary.click()
    assert unfolded()
    summary.click()
    assert not unfolded()

    browser.open(written(tmp_path, whole_page()))
    for _ in range(30):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.run("return document.activeElement.tagName") == "SUMMARY":
            break
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    assert unfolded()
    ActionChains(browser.driver).send_keys(Keys.SPACE).perform()
    assert not unfolded()


def test_a_table_wider_than_a_telephone_is_moved_by_key(browser: Browser, tmp_path: Path) -> None:
    """It has a place of its own to scroll in, which Tab reaches; the page itself stays."""
    browser.open(written(tmp_path, whole_page()), width=400)
    ActionChains(browser.driver).send_keys(Keys.TAB, Keys.ARROW_RIGHT).perform()
    moved = "return document.querySelector('.scroll').scrollLeft > 0"
    WebDriverWait(browser.driver, 5, poll_frequency=0.02).until(lambda driver: driver.execute_script(moved))
    assert browser.run("return window.scrollX") == 0


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("words", ["some words", UNBROKEN], ids=["words", "unbroken"])
def test_nothing_is_wider_than_the_page(browser: Browser, tmp_path: Path, width: int, words: str) -> None:
    """On a telephone and on a desk, with texts that have no place to be broken at; only tables scroll."""
    browser.open(written(tmp_path, whole_page(words)), width=width)
    browser.run("document.querySelector('details').open = true")
    assert browser.run(BEYOND) == {"found": [], "by": 0}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """By day and by night each has at least the contrast of 4.5 to 1 that WCAG 2.2 asks for, those in plots included."""
    browser.open(written(tmp_path, whole_page()), scheme=scheme)
    texts = browser.run(TEXTS)
    assert {"worse", "better", "yes", "no", "not calibrated"} <= {one["text"] for one in texts}
    assert (contrast(texts[0]["ground"], "rgb(0, 0, 0)") > 10) == (scheme == "light")
    faint = {one["text"]: one for one in texts if contrast(one["ink"], one["ground"]) < 4.5}
    assert not faint


@pytest.mark.parametrize("ours", ["against", "24 of 24 cases", "Question", "not calibrated"])
def test_a_text_that_turns_the_line_round_turns_only_itself(browser: Browser, tmp_path: Path, ours: str) -> None:
    """Names, answers and questions may hold marks of direction; the page's own words beside them are read as ever."""
    browser.open(written(tmp_path, whole_page(REVERSED)))
    found = browser.run(READ_FROM_THE_LEFT, ours)
    assert found
    assert all(found)
