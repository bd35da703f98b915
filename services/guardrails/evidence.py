"""What speaks for a text being an injection: the signs it bears, plainly or under a disguise, and what the classifier says."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.guardrails.classifier import Classifier
from services.guardrails.excerpt import excerpt
from services.guardrails.ngrams import WINDOW_CHARS
from services.guardrails.normalise import fold, spaced_once, words
from services.guardrails.signs import SIGNS
from services.guardrails.signs.phrases import Sign
from services.guardrails.signs.words import Words
from services.guardrails.views import DECODERS, View, views

CRAMMED = Sign(name="crammed", kind="crammed", points=2, patterns=(), found=lambda words, _: words.crammed)

MAX_POINTS = 8
MAX_HIDDEN_POINTS = 4
MIN_LOGIT, MAX_LOGIT = 0.0, 8.0
"""Beyond these more of the same is not surer, and one part of the evidence would drown the others."""

SHORT_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`wording` and `meaning` are the classifier's highest logits over all windows of all views, `points` those of all signs,
    `hidden_points` of those that only a decoded view bears. `chars` is how long the text is in its normal form. `strongest`
    names what is most telling, for the verdict."""

    wording: float
    meaning: float
    points: int
    hidden_points: int
    chars: int
    strongest: str

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
        """Return the probability, as the development corpus has it, that the text is an injection."""
        logit = self.intercept + sum(c * v for c, v in zip(self.coefficients, evidence.columns(), strict=True))
        return 1.0 / (1.0 + math.exp(-logit))


class Reader:
    """Finds the evidence in texts. Pure and CPU-bound.

    `decoders` are those to use, by name; `without` are signs not to look for, by name or kind.
    """

    def __init__(
        self, classifier: Classifier, *, decoders: Collection[str] = tuple(DECODERS), without: Collection[str] = ()
    ) -> None:
        self._classifier = classifier
        self._decoders = tuple(name for name in DECODERS if name in decoders)
        self._signs = tuple(sign for sign in SIGNS if not {sign.name, sign.kind} & set(without))

    def read(self, text: str) -> Evidence:
        """Look at the text and its views; of a long text at an excerpt, see `excerpt`."""
        found: dict[str, tuple[Sign, View]] = {}
        wording = meaning = highest = -math.inf
        chars, telling = 0, View(text="")
        for view in views(excerpt(text), self._decoders):
            folded = fold(view.text)
            normal = spaced_once(folded)
            chars = chars if view.path else len(normal)
            for sign in borne(words(folded), normal, self._signs):
                found.setdefault(sign.kind, (sign, view))
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
        )


def borne(plain_text: str, normal: str, signs: Sequence[Sign] = SIGNS) -> list[Sign]:
    """Return the signs that a text bears, given in its plain and its normal form.

    A text that is crammed with what signs begin with bears one for that too.
    """
    looked_up = Words(plain_text)
    found = [sign for sign in signs if sign.found(looked_up, normal)]
    return [*found, CRAMMED] if looked_up.crammed else found


def _name(name: str, view: View) -> str:
    return "+".join((*view.path, name))
