"""`python -m benchmarks.guardrails.train`: makes the classifier's weights from the packages that `packages` names.

Beside the shipped weights, which have seen every package, it makes those that judge a package's data set without having seen
it, for the evaluation: a text that the training shares with what is judged is left out too.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from benchmarks.guardrails.corpus import Case, Example, cases, training
from benchmarks.guardrails.folds import FOLDS, fold_of, fold_weights
from benchmarks.guardrails.packages import PACKAGES
from services.guardrails.classifier import Classifier
from services.guardrails.excerpt import MAX_CHARS
from services.guardrails.model_card import CARD, WEIGHTS
from services.guardrails.ngrams import CHAR_ORDERS, FEATURES, STRIDE_CHARS, WINDOW_CHARS, WORD_ORDERS, terms
from services.guardrails.normalise import normalise
from services.guardrails.views import views

INVERSE_REGULARISATION = 10.0
MAX_ITERATIONS = 60
TOLERANCE = 1e-3
"""It stops early on purpose: run to the end it finds less of texts that it has not seen, see docs/guardrails.md."""

Terms = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


def counted(text: str) -> list[Terms]:
    """Return the terms of each view of a text, as the guard reads it."""
    found = [terms(normalise(view.text)) for view in views(text[:MAX_CHARS])]
    return [(windows.astype(np.int32), features.astype(np.int32)) for windows, features in found]


class Matrix:
    """The windows of all examples as rows, each with the weight that all windows of an example share."""

    def __init__(self, examples: Sequence[Example], counts: Iterable[list[Terms]]) -> None:
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
        self.features = csr_matrix((values, (row, column)), shape=(base, FEATURES))
        self.owners = np.array(owners)
        self.attacks = np.array([example.attack for example in examples])[self.owners]
        self.shares = 1 / np.bincount(self.owners)[self.owners]

    def fit(self, kept: npt.NDArray[np.bool_]) -> Classifier:
        """Return the classifier of the examples that are kept."""
        rows = kept[self.owners]
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
        model.fit(self.features[rows], self.attacks[rows], sample_weight=self.shares[rows])
        return Classifier(model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def kept_for(fold: str, examples: Sequence[Example], judged: Collection[str]) -> npt.NDArray[np.bool_]:
    """Return which examples may be learnt from to judge the texts of a fold."""
    return np.array([example.group != fold and _key(example.text) not in judged for example in examples])


def _key(text: str) -> str:
    return normalise(text)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guardrails.train", description=__doc__)
    parser.add_argument("--data", type=Path, help="the labelled texts; with them the folds' weights are made too")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args(given)
    examples = training()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        matrix = Matrix(examples, pool.map(counted, [example.text for example in examples], chunksize=200))
    print(f"{len(examples)} texts, {matrix.features.shape[0]} windows, {matrix.features.nnz} n-grams", flush=True)
    shipped = matrix.fit(np.ones(len(examples), dtype=bool)).encode()
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.write_bytes(shipped)
    digest = hashlib.sha256(shipped).hexdigest()
    card = json.loads(CARD.read_text()) if CARD.exists() else {}
    write_card({**card, "sha256": digest, "training": provenance(examples)})
    print(f"{WEIGHTS.name}: {len(shipped):,} bytes, sha256 {digest}", flush=True)
    if arguments.data is not None:
        _make_folds(matrix, examples, cases(arguments.data))
    return 0


def _make_folds(matrix: Matrix, examples: Sequence[Example], judged: Sequence[Case]) -> None:
    for fold in (*FOLDS, "other"):
        texts = {_key(case.text) for case in judged if fold_of(case) == fold}
        kept = kept_for(fold, examples, texts)
        fold_weights(fold).write_bytes(matrix.fit(kept).encode())
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
            "window_chars": WINDOW_CHARS,
            "stride_chars": STRIDE_CHARS,
        },
        "model": f"logistic regression, L2, C = {INVERSE_REGULARISATION:g}, L-BFGS to a tolerance of {TOLERANCE:g}, int8",
    }


def write_card(card: dict[str, Any]) -> None:
    CARD.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
