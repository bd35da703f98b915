"""What speaks for a text being an injection: the signs it bears, plainly or under a disguise, and what the classifier says."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from services.guardrails import ngrams
from services.guardrails.classifier import Classifier
from services.guardrails.excerpt import excerpt
from services.guardrails.ngrams import WINDOW_CHARS
from services.guardrails.normalise import fold, spaced_once, words
from services.guardrails.sentences import sentences
from services.guardrails.signs import SIGNS
from services.guardrails.signs.phrases import Sign, SignIndex
from services.guardrails.signs.words import Words
from services.guardrails.views import DECODERS, View, views

CRAMMED = Sign(name="crammed", kind="crammed", points=2, patterns=(), found=lambda words, _: words.crammed)

MAX_POINTS = 8
MAX_HIDDEN_POINTS = 4
MIN_LOGIT, MAX_LOGIT = 0.0, 8.0
"""Beyond these more of the same is not surer, and one part of the evidence would drown the others."""

SHORT_CHARS = 100

STRONG_POINTS = 2
SENTENCE_MARGIN = 1.5
"""A sentence with so many points counts like a text of its own, less this: of many sentences one looks worse than the rest."""

MAX_SENTENCES = 4
"""Of so many with the most points the wording is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`wording` and `meaning` are the classifier's highest logits over all windows of all views, `points` those of all signs,
    `hidden_points` of those that only a decoded view bears. `chars` is how long the text is in its normal form. `strongest`
    names what is most telling, for the verdict. `sentence` is the evidence in that sentence of a longer text which has the most
    points, if it has STRONG_POINTS: what is slipped into a page must not count for less the longer the page is."""

    wording: float
    meaning: float
    points: int
    hidden_points: int
    chars: int
    strongest: str
    sentence: "Evidence | None" = None

    def columns(self) -> tuple[float, float, float, float, float]:
        """Return it as the numbers that are weighed, each within its bounds.

        The last is the logarithm of how many times a text is longer than SHORT_CHARS: the longer it is, the more there is in
        it that may look like something. It stops at a window, so that a document is not less suspect than a page of it.
        """
        return (
            max(MIN_LOGIT, min(self.wording, MAX_LOGIT)),
            max(MIN_LOGIT, min(self.meaning, MAX_LOGIT)),
            float(min(self.points, MAX_POINTS)),
            float(min(self.hidden_points, MAX_HIDDEN_POINTS)),
            math.log(max(SHORT_CHARS, min(self.chars, WINDOW_CHARS)) / SHORT_CHARS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """A logistic model over `Evidence.columns`: how much each is worth."""

    coefficients: tuple[float, float, float, float, float]
    intercept: float

    def score(self, evidence: Evidence) -> float:
        """Return the probability, as the development corpus has it, that the text is an injection, or a sentence of it."""
        logit = self._logit(evidence)
        if evidence.sentence is not None:
            logit = max(logit, self._logit(evidence.sentence) - SENTENCE_MARGIN)
        return 1.0 / (1.0 + math.exp(-logit))

    def _logit(self, evidence: Evidence) -> float:
        return self.intercept + sum(c * v for c, v in zip(self.coefficients, evidence.columns(), strict=True))


class Reader:
    """Finds the evidence in texts. Pure and CPU-bound.

    `decoders` are those to use, by name; `without` are signs not to look for, by name or kind.
    """

    def __init__(
        self, classifier: Classifier, *, decoders: Collection[str] = tuple(DECODERS), without: Collection[str] = ()
    ) -> None:
        self._classifier = classifier
        self._decoders = tuple(name for name in DECODERS if name in decoders)
        self._signs = SignIndex([sign for sign in SIGNS if not {sign.name, sign.kind} & set(without)])

    def read(self, text: str) -> Evidence:
        """Look at the text and its views; of a long text at an excerpt, see `excerpt`."""
        found: dict[str, tuple[Sign, View]] = {}
        within: list[Evidence] = []
        wording = meaning = highest = -math.inf
        chars, telling = 0, View(text="")
        for view in views(excerpt(text), self._decoders):
            folded = fold(view.text)
            normal = spaced_once(folded)
            chars = chars if view.path else len(normal)
            looked_up = Words(words(folded))
            signs = borne(looked_up, normal, self._signs.begun(looked_up))
            for sign in signs:
                found.setdefault(sign.kind, (sign, view))
            within += self._sentences(normal, signs, view)
            by_wording, by_meaning = (float(logits.max()) for logits in self._classifier.logits(normal))
            wording, meaning = max(wording, by_wording), max(meaning, by_meaning)
            if by_wording + by_meaning > highest:
                highest, telling = by_wording + by_meaning, view
        direct = sum(sign.points for sign, view in found.values() if not view.path)
        hidden = sum(sign.points for sign, view in found.values() if view.path)
        ranked = sorted(found.values(), key=lambda pair: -pair[0].points)
        strongest = _name(ranked[0][0].name, ranked[0][1]) if ranked else _name("classifier", telling)
        return Evidence(
            wording=wording,
            meaning=meaning,
            points=direct + hidden,
            hidden_points=hidden,
            chars=chars,
            strongest=strongest,
            sentence=max(within, key=_telling, default=None),
        )

    def _sentences(self, normal: str, signs: Sequence[Sign], view: View) -> Iterator[Evidence]:
        """Yield the evidence in the sentences of a view that bear a strong sign. What they mean is not counted: to tell
        role-play from an attack takes more than one sentence."""
        if len(normal) <= SHORT_CHARS or _points(signs) < STRONG_POINTS:
            return
        strong = [
            (_points(bears), one, bears) for one in sentences(normal) if (bears := borne(Words(words(one)), one, signs))
        ]
        strong.sort(key=lambda bearing: -bearing[0])
        for points, one, bears in strong[:MAX_SENTENCES]:
            if points >= STRONG_POINTS:
                yield Evidence(
                    wording=float(self._classifier.wording.logits(one, ngrams.terms).max()),
                    meaning=-math.inf,
                    points=points,
                    hidden_points=points if view.path else 0,
                    chars=len(one),
                    strongest=_name(max(bears, key=lambda sign: sign.points).name, view),
                )


def borne(looked_up: Words, normal: str, signs: Sequence[Sign]) -> list[Sign]:
    """Return those of the signs that a text bears, given as its words and in its normal form.

    A text that is crammed with what signs begin with bears one for that too.
    """
    found = [sign for sign in signs if sign.found(looked_up, normal)]
    return [*found, CRAMMED] if looked_up.crammed else found


def _points(signs: Sequence[Sign]) -> int:
    """Of one kind the last sign counts: what a language of few signs says weighs more than English."""
    return sum({sign.kind: sign.points for sign in signs}.values())


def _telling(evidence: Evidence) -> tuple[int, float]:
    return evidence.points, evidence.wording


def _name(name: str, view: View) -> str:
    return "+".join((*view.path, name))
