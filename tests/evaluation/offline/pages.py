"""Reports to look at: one that has everything a report can have, and texts that would be more than text."""

from dataclasses import replace

from evaluation.calibration.record import KnownCalibrations
from evaluation.offline.comparison import compared
from evaluation.offline.gate import Finding
from evaluation.offline.report import report
from evaluation.offline.results import CaseResult, Results
from evaluation.offline.runner import Marking
from tests.evaluation.fakes import FakeJudge
from tests.evaluation.offline.scripted import a_result, results_of

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><h1>The gate holds.</h1>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>x</script>",
    "</title></head><style>main{display:none}</style>",
    "<!-- --><iframe src=//e.example>",
    "<svg onload=alert(1)>\x00\ud800\x1b[2J",
    "<a href='javascript:alert(1)' autofocus onfocus=alert(1)>x</a>",
    "<base href=//e.example><meta http-equiv=refresh content=0;url=//e.example>",
    "]]>&lt;b&gt;&amp;",
]


def shown(text: str) -> str:
    """Return a text as a page shows it: what is no character is marked."""
    return "".join(char if char.isprintable() and not "\ud800" <= char <= "\udfff" else "\ufffd" for char in text)


def page_of(results: Results, baseline: Results | None = None, *findings: Finding) -> str:
    return report(compared(results, baseline), findings=findings, calibrations=KnownCalibrations())


def page_saying(words: str) -> str:
    """Return a page that has these words wherever somebody else's text can be."""
    marking = Marking(criteria=("helpfulness", "safety", "latency"), judge=FakeJudge(name=words))
    case = _saying(words, a_result(words, helpfulness=1.0, passed=0.0))
    results = _named(results_of(marking, [case], name=words), words)
    better = _saying(words, a_result(words, helpfulness=2.0, passed=0.0))
    return page_of(results, replace(results, cases=(better,)), Finding(holds=False, said=words))


def whole_page(words: str = "words of somebody") -> str:
    """Return a page that has everything: two configurations, what is better, worse and unscored, tags, and a gate."""
    marking = Marking(criteria=("helpfulness", "safety", "groundedness", "latency"), judge=FakeJudge(name=words))
    cases = range(24)
    before = [
        a_result(f"{at} {words}", words, answered=1.0, passed=1.0, helpfulness=at % 9, safety=at % 2, latency=at / 2)
        for at in cases
    ]
    after = [
        a_result(f"{at} {words}", words, answered=1.0, passed=at % 2, helpfulness=at % 5, safety=0.0, latency=at * 5)
        for at in cases
    ]
    results, baseline = (
        _named(results_of(marking, [_saying(words, case) for case in found], name=words), words)
        for found in (after, before)
    )
    return page_of(results, baseline, Finding(holds=True, said="one holds"), Finding(holds=False, said=words))


def _saying(words: str, case: CaseResult) -> CaseResult:
    readings = {name: replace(reading, reason=words) for name, reading in case.readings.items()}
    texts = {"question": words, "reference": words, "answer": words, "failure": words}
    return replace(case, **texts, tags=(words, "b"), tools=(words,), readings=readings)


def _named(results: Results, words: str) -> Results:
    return replace(results, conditions=replace(results.conditions, target=words, dataset=words))
