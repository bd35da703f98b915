"""Two logistic regressions over hashed features: how much each window of a text reads like an injection.

One counts n-grams of characters and words, the other classes of meaning. Their weights are trained by
`python -m benchmarks.guardrails.train` on open data that `weights/injection.json` names. They are kept as eight-bit integers,
in numpy's own format without pickles, and are refused if their digest is another.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from services.errors import ConfigurationError
from services.guardrails import meanings, ngrams
from services.guardrails.ngrams import Integers, window_count

Counting = Callable[[str], tuple[Integers, Integers]]
"""Tells the features of each window of a text, see `ngrams.terms`."""

_STEPS = 127


@dataclass(frozen=True, slots=True)
class Linear:
    """`weights` are one for each feature; `bias` is the logit of a text without any."""

    weights: npt.NDArray[np.float32]
    bias: float

    def logits(self, text: str, counting: Counting) -> npt.NDArray[np.float64]:
        """Return one logit for each window of a text in its normal form: the mean weight by the root of their number."""
        windows, features = counting(text)
        count = window_count(text)
        sums = np.bincount(windows, weights=self.weights[features], minlength=count)
        sizes = np.bincount(windows, minlength=count)
        return self.bias + sums / np.sqrt(np.maximum(sizes, 1))


@dataclass(frozen=True, slots=True)
class Classifier:
    """`wording` knows phrases as they are spelt, `meaning` what they come to. Raises ValueError for too few or many weights."""

    wording: Linear
    meaning: Linear

    def __post_init__(self) -> None:
        for part, needed in ((self.wording, ngrams.FEATURES), (self.meaning, meanings.FEATURES)):
            if part.weights.shape != (needed,):
                raise ValueError(f"There are {part.weights.shape} weights, and {needed} are needed.")

    @classmethod
    def load(cls, path: Path, sha256: str) -> Self:
        """Read weights. Raises ConfigurationError unless the file is there and is the one that has this digest."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The weights {path.name} cannot be read: {error.strerror}.") from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ConfigurationError(f"The weights {path.name} have the sha256 {found}, and {sha256} is expected.")
        return cls.decode(data)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the classifier that `encode` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            parts = []
            for name in ("wording", "meaning"):
                roots = arrays[f"{name}_roots"] * arrays[f"{name}_scale"]
                parts.append(Linear((np.sign(roots) * roots**2).astype(np.float32), float(arrays[f"{name}_bias"])))
        return cls(*parts)

    def logits(self, text: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return one logit for each window of a text in its normal form, by its wording and by its meaning."""
        return self.wording.logits(text, ngrams.terms), self.meaning.logits(text, meanings.terms)

    def encode(self) -> bytes:
        """Return the weights in numpy's own format, each as its root in 255 steps: most of them are far below the largest."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, part in (("wording", self.wording), ("meaning", self.meaning)):
            roots = np.sign(part.weights) * np.sqrt(np.abs(part.weights))
            scale = np.float64(np.abs(roots).max() / _STEPS or 1.0)
            arrays[f"{name}_roots"] = np.rint(roots / scale).astype(np.int8)
            arrays[f"{name}_scale"], arrays[f"{name}_bias"] = np.array(scale), np.array(part.bias)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()
