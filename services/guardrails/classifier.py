"""A logistic regression over hashed n-grams: how much each window of a text reads like an injection.

Its weights are trained by `python -m benchmarks.guardrails.train` on open data that `weights/injection.json` names. They are
kept as eight-bit integers, in numpy's own format without pickles, and are refused if their digest is another.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from services.errors import ConfigurationError
from services.guardrails.ngrams import FEATURES, terms, window_count


@dataclass(frozen=True, slots=True)
class Classifier:
    """`weights` are one for each feature; `bias` is the logit of a text without any."""

    weights: npt.NDArray[np.float32]
    bias: float

    def __post_init__(self) -> None:
        if self.weights.shape != (FEATURES,):
            raise ValueError(f"There are {self.weights.shape} weights, and {FEATURES} are needed.")

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
            roots = arrays["roots"] * arrays["scale"]
            return cls((np.sign(roots) * roots**2).astype(np.float32), float(arrays["bias"]))

    def logits(self, text: str) -> npt.NDArray[np.float64]:
        """Return one logit for each window of a text in its normal form: the mean weight by the root of their number."""
        windows, features = terms(text)
        count = window_count(text)
        sums = np.bincount(windows, weights=self.weights[features], minlength=count)
        sizes = np.bincount(windows, minlength=count)
        return self.bias + sums / np.sqrt(np.maximum(sizes, 1))

    def encode(self) -> bytes:
        """Return the weights in numpy's own format, each as its root in 255 steps: most of them are far below the largest."""
        roots = np.sign(self.weights) * np.sqrt(np.abs(self.weights))
        scale = np.float64(np.abs(roots).max() / 127 or 1.0)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, roots=np.rint(roots / scale).astype(np.int8), scale=scale, bias=np.float64(self.bias)
        )
        return buffer.getvalue()
