"""How long the guard looks at a text: short ones, long ones, and ones made to take as long as possible."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.guardrails.corpus import Case
from services.guard import Stage
from services.guardrails.chain import GuardrailChain

SHORT_CHARS = 600
LONG_CHARS = 10_000
MOST_CHARS = 16_384

# fmt: off
_CRAM = (
    "-", "!", ":", "<", "a", "a ", "a.", " ", "\n", "<!--", "/*", "%41", "&#41;", "\\x41", "\\u0041", "AAAA", "QUFB",
    "1 ", "69 ", "65,", "01", "0x41 ", "<a ", "<a hidden", "alt=\"", "alt='x' ", "i1 ", "1gn0r3 ", "\u202e",
    "\u200b", "\U000e0041", "é ", "А", "аa ", "ignore ", "ignore your ", "rules ignore your ", "all previous ",
    "you are a ", "reveal the system ", "do not tell ", "忽略", "以前の", "# # ", "[ system ", "= end ",
    "![a](http://a?", "{{a", "system: ", "ɹ", "forget all ", "without any ", "before you ",
    "send the password ", "the and you ", "metsys ", "vtaber ",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of processor time for one group of texts, each text's the median of several looks."""

    name: str
    median_ms: float
    p99_ms: float
    most_ms: float


def adversarial() -> list[str]:
    """Return texts of the most characters that are looked at: one piece over and over or two in turn, then something else."""
    pieces = (*_CRAM, *(first + second for first, second in zip(_CRAM, _CRAM[7:], strict=False)))
    runs = [(piece * MOST_CHARS)[: MOST_CHARS - 1] for piece in pieces]
    return [*runs, *(f"{run}x" for run in runs)]


def latencies(
    chain: GuardrailChain, cases: Sequence[Case], *, clock: Callable[[], float] = time.thread_time
) -> list[Latency]:
    """Measure in this thread: what other processes do at the time is not counted, as far as a processor can be shared."""
    short = [case.text for case in cases if len(case.text) <= SHORT_CHARS][::40]
    documents = "\n\n".join(case.text for case in cases if not case.attack and len(case.text) > SHORT_CHARS)
    long = [documents[start : start + LONG_CHARS] for start in range(0, 120 * LONG_CHARS, LONG_CHARS)]
    groups = {
        f"up to {SHORT_CHARS} characters": short,
        f"{LONG_CHARS:,} characters of documents": [text for text in long if len(text) == LONG_CHARS],
        f"{MOST_CHARS:,} characters made to be slow": adversarial(),
    }
    return [_of(name, texts, chain, clock) for name, texts in groups.items()]


def _of(name: str, texts: Sequence[str], chain: GuardrailChain, clock: Callable[[], float]) -> Latency:
    looks_ms = sorted(statistics.median(_look_ms(chain, text, clock) for _ in range(3)) for text in texts)
    return Latency(name, statistics.median(looks_ms), looks_ms[int(0.99 * (len(looks_ms) - 1))], looks_ms[-1])


def _look_ms(chain: GuardrailChain, text: str, clock: Callable[[], float]) -> float:
    began_s = clock()
    chain.judge(text, Stage.INPUT)
    return 1e3 * (clock() - began_s)
