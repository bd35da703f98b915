"""`python -m benchmarks.guardrails.train`: makes the classifier's weights from the packages that `packages` names.

Beside the shipped weights, which have seen every package, it makes those that judge a package's data set without having seen
it, for the evaluation: a text that the training shares with what is judged is left out too.
"""

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from benchmarks.guardrails.corpus import Case, Example, cases, training
from benchmarks.guardrails.folds import FOLDS, fold_of, fold_weights
from benchmarks.guardrails.packages import PACKAGES
from services.guardrails import meanings, ngrams
from services.guardrails.classifier import Classifier, Counting, Linear
from services.guardrails.excerpt import excerpt
from services.guardrails.model_card import CARD, WEIGHTS
from services.guardrails.ngrams import CHAR_ORDERS, STRIDE_CHARS, WINDOW_CHARS, WORD_ORDERS
from services.guardrails.normalise import normalise
from services.guardrails.views import views

MAX_ITERATIONS = 60
TOLERANCE = 1e-3
"""It stops early on purpose: run to the end it finds less of texts that it has not seen, see docs/guardrails.md."""

Terms = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]

_WORD = re.compile(r"\w+")
_RUN_WORDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one part of the classifier is learnt. `without` are groups that it does not learn from; where it is `evened`, a
    group's attacks, and its ordinary texts, count together as the root of their number."""

    counting: Counting
    features: int
    inverse_regularisation: float
    without: frozenset[str] = frozenset()
    evened: bool = False


RECIPES: Mapping[str, Recipe] = {
    # Long role-plays teach n-grams to find role-play, of which most is no attack; see `invented.FIRST` for the third.
    "wording": Recipe(
        counting=ngrams.terms,
        features=ngrams.FEATURES,
        inverse_regularisation=10.0,
        without=frozenset({"garak", "pyrit", "invented_more"}),
    ),
    "meaning": Recipe(counting=meanings.terms, features=meanings.FEATURES, inverse_regularisation=30.0, evened=True),
}


def counted(text: str) -> Mapping[str, list[Terms]]:
    """Return the terms of each view of a text for each part, as the guard reads it."""
    normal = [normalise(view.text) for view in views(excerpt(text))]
    return {name: [_narrow(*recipe.counting(view)) for view in normal] for name, recipe in RECIPES.items()}


def _narrow(windows: npt.NDArray[np.int64], features: npt.NDArray[np.int64]) -> Terms:
    return windows.astype(np.int32), features.astype(np.int32)


class Matrix:
    """The windows of all examples as rows of one part, each with the weight that all windows of an example share."""

    def __init__(self, recipe: Recipe, examples: Sequence[Example], counts: Iterable[list[Terms]]) -> None:
        rows, columns, owners = [], [], []
        base = 0
        for number, views_terms in enumerate(counts):
            for windows, features in views_terms:
                size = int(windows.max(initial=0)) + 1
                rows.append(windows + base)
                columns.append(features)
                owners += [number] * size
                base += size
        row, column = np.concatenate(rows), np.concatenate(columns)
        sizes = np.bincount(row, minlength=base)
        values = (1 / np.sqrt(sizes[row])).astype(np.float32)
        self._recipe = recipe
        self._features = csr_matrix((values, (row, column)), shape=(base, recipe.features))
        self._owners = np.array(owners)
        self._attacks = np.array([example.attack for example in examples])
        self._known = np.array([example.group not in recipe.without for example in examples])
        self._shares = _shares(examples) if recipe.evened else np.ones(len(examples))

    def fit(self, kept: npt.NDArray[np.bool_]) -> Linear:
        """Return what the examples that are kept have taught."""
        rows = (kept & self._known)[self._owners]
        shares = (self._shares / np.bincount(self._owners))[self._owners]
        model = LogisticRegression(C=self._recipe.inverse_regularisation, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
        model.fit(self._features[rows], self._attacks[self._owners][rows], sample_weight=shares[rows])
        return Linear(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def _shares(examples: Sequence[Example]) -> npt.NDArray[np.float64]:
    """Return what each example counts, with a mean of 1."""
    sizes = Counter((example.group, example.attack) for example in examples)
    shares = np.array([sizes[example.group, example.attack] ** -0.5 for example in examples])
    return np.asarray(shares / shares.mean())


def fitted(matrices: Mapping[str, Matrix], kept: npt.NDArray[np.bool_]) -> Classifier:
    return Classifier(wording=matrices["wording"].fit(kept), meaning=matrices["meaning"].fit(kept))


def kept_for(fold: str, examples: Sequence[Example], judged: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return which examples may be learnt from to judge the texts of a fold.

    Not those of its data set, not its texts, and nothing of which half the runs of eight words are in them.
    """
    texts = {normalise(text) for text in judged}
    known = frozenset().union(*map(_runs, texts))

    def may(example: Example) -> bool:
        text = normalise(example.text)
        runs = _runs(text)
        return example.group != fold and text not in texts and (not runs or 2 * len(runs & known) < len(runs))

    return np.array([may(example) for example in examples])


def _runs(text: str) -> frozenset[int]:
    words = _WORD.findall(text)
    return frozenset(hash(tuple(words[start : start + _RUN_WORDS])) for start in range(len(words) - _RUN_WORDS + 1))


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrails.train", description=__doc__)
    parser.add_argument("--data", type=Path, help="the labelled texts; with them the folds' weights are made too")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args(given)
    examples = training()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        counts = list(pool.map(counted, [example.text for example in examples], chunksize=200))
    matrices = {name: Matrix(recipe, examples, [one[name] for one in counts]) for name, recipe in RECIPES.items()}
    print(f"{len(examples)} texts", flush=True)
    shipped = fitted(matrices, np.ones(len(examples), dtype=bool)).encode()
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.write_bytes(shipped)
    digest = hashlib.sha256(shipped).hexdigest()
    card = json.loads(CARD.read_text()) if CARD.exists() else {}
    write_card({**card, "sha256": digest, "training": provenance(examples)})
    print(f"{WEIGHTS.name}: {len(shipped):,} bytes, sha256 {digest}", flush=True)
    if arguments.data is not None:
        _make_folds(matrices, examples, cases(arguments.data))
    return 0


def _make_folds(matrices: Mapping[str, Matrix], examples: Sequence[Example], judged: Sequence[Case]) -> None:
    for fold in (*FOLDS, "other"):
        kept = kept_for(fold, examples, [case.text for case in judged if fold_of(case) == fold])
        fold_weights(fold).write_bytes(fitted(matrices, kept).encode())
        print(f"{fold}: judged by what {int(kept.sum())} texts taught", flush=True)


def provenance(examples: Sequence[Example]) -> dict[str, Any]:
    """Return what the weights were made of, and how."""
    groups = sorted({example.group for example in examples})
    return {
        "packages": [
            {
                "requirement": p.requirement,
                "archive": p.archive,
                "sha256": p.sha256,
                "licence": p.licence,
                "holds": p.holds,
            }
            for p in PACKAGES
        ],
        "texts": {
            group: {
                "attacks": sum(example.attack for example in examples if example.group == group),
                "benign": sum(not example.attack for example in examples if example.group == group),
            }
            for group in groups
        },
        "features": {
            "char_ngrams": CHAR_ORDERS,
            "word_ngrams": WORD_ORDERS,
            "meanings": "one, two and three in a row, and two within five in a sentence",
            "window_chars": WINDOW_CHARS,
            "stride_chars": STRIDE_CHARS,
        },
        "model": {name: _told(recipe) for name, recipe in RECIPES.items()},
    }


def _told(recipe: Recipe) -> str:
    told = f"logistic regression, L2, C = {recipe.inverse_regularisation:g}, L-BFGS, {MAX_ITERATIONS} iterations, int8"
    evened = "; groups evened by the root of their size" if recipe.evened else ""
    return told + evened + "".join(f"; without {group}" for group in sorted(recipe.without))


def write_card(card: dict[str, Any]) -> None:
    CARD.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
