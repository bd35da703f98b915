"""What an answer may not give away in any spelling: the letters of the instructions, and the canaries.

Case, spaces, punctuation, invisible and look-alike characters and digits for letters make no difference: only letters in a row
count. A run is known by the windows of it that stand in a prompt, so the time is linear in the text and does not depend on the
length of the prompt.
"""

import re
from collections.abc import Sequence

from services.guardrails.normalise import fold
from services.guardrails.screen.leak import QUOTED

WINDOW_LETTERS = 20
STRIDE_LETTERS = 4

ENCODED_WINDOWS = 4
"""So many windows in a row make a leak that was encoded, 32 letters: any run of 35 has them."""

PLAIN_WINDOWS = 7
"""And so many one that was not, 44 letters: plain runs of eight words are withheld before, and phrases coincide."""

LEAST_CANARY_LETTERS = 8

_NO_LETTERS = re.compile(r"[\W_]+")
_DIGITS = str.maketrans("0134578", "oieastb")


def letters(text: str) -> str:
    """Return what is left of a text where only letters count."""
    return letters_of(fold(text))


def letters_of(folded: str) -> str:
    return _NO_LETTERS.sub("", folded).translate(_DIGITS)


class Hidden:
    """Made once for the prompts of a graph. What a prompt has in quotation marks is there to be said, as for `leak.Prompts`."""

    def __init__(self, prompts: Sequence[str], canaries: Sequence[str]) -> None:
        parts = [letters(part) for text in prompts for part in QUOTED.split(text)]
        self._windows = frozenset(
            part[start : start + WINDOW_LETTERS] for part in parts for start in range(len(part) - WINDOW_LETTERS + 1)
        )
        self._canaries = tuple(found for text in canaries if len(found := letters(text)) >= LEAST_CANARY_LETTERS)

    def leaks(self, said: str, windows: int, asked: str) -> bool:
        """Whether letters that are said hold so many windows of a prompt in a row that are not in the letters `asked`."""
        run = 0
        for start in range(0, len(said) - WINDOW_LETTERS + 1, STRIDE_LETTERS):
            window = said[start : start + WINDOW_LETTERS]
            run = run + 1 if window in self._windows and window not in asked else 0
            if run >= windows:
                return True
        return False

    def names_canary(self, said: str) -> bool:
        return any(canary in said for canary in self._canaries)
