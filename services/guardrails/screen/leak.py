"""Whether an answer gives away its instructions: runs of words that stand in the prompt in the same order.

Eight words in a row, or a quarter of the prompt in shorter runs, by sequences of four words. Case, punctuation and invisible
characters hide nothing. One word in eight replaced hides a short excerpt, and any encoding hides it all: that is for
`services.guardrails.semantic.encoded`.
"""

import re
from collections.abc import Callable, Sequence

from services.guard import Action
from services.guardrails.normalise import normalise

GRAM_WORDS = 4
RUN_WORDS = 8
CONTAINED = 0.25
MIN_CONTAINED = 8

MAX_WORD_CHARS = 1_000
"""What is longer is no word of a prompt, with however many invisible characters in it."""

MAX_HELD_CHARS = 4_096
"""What is that far from the last word of the prompt does not belong to it."""

_HIDDEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Invisible, and used to break words up: part of the word that it stands in."""

_WORD = rf"(?:[^\W_]|[{_HIDDEN}])+"
_PARTS = re.compile(rf"{_WORD}|[^\w{_HIDDEN}]+|_+")
"""Words, and what is between them."""


QUOTED = re.compile(r"\"[^\"]{1,500}\"|“[^”]{1,500}”|«[^»]{1,500}»|`[^`]{1,500}`|(?<!\w)'[^'\n]{1,500}'(?!\w)")


def words_of(text: str) -> list[str]:
    return [word for found in re.findall(_WORD, text) if (word := _plain(found))]


def _plain(word: str) -> str:
    return word.lower() if word.isascii() else normalise(word)


class Prompts:
    """The sequences of four words in the instructions of a run, and the threes with which they begin.

    What a prompt has in quotation marks is left out: it is there to be said.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.grams: set[tuple[str, ...]] = set()
        for words in (words_of(part) for text in texts for part in QUOTED.split(text)):
            self.grams.update(zip(*(words[offset:] for offset in range(GRAM_WORDS)), strict=False))
        self.beginnings = {gram[:-1] for gram in self.grams}
        self.contained_from = max(MIN_CONTAINED, CONTAINED * len(self.grams))


class LeakWatch:
    """One text on its way out, word by word. What is held is a run of the prompt's words, from the fourth on.

    `leaked` is told of each run of eight, which is replaced by `notice` unless that is None, and of a quarter of the prompt:
    then, and without a notice, the text ends, and `blocked` is True. The words that the user `said` in this turn are no secret.
    """

    def __init__(
        self, prompts: Prompts, said: Callable[[], Sequence[str]], leaked: Callable[[Action], None], notice: str | None
    ) -> None:
        self._prompts = prompts
        self._said = said
        self._leaked = leaked
        self._notice = notice
        self._last: tuple[str, ...] = ()
        self._word = ""
        self._run: list[str] = []
        self._seen: set[tuple[str, ...]] = set()
        self._holding = self._dropping = False
        self._held = ""
        self.blocked = False

    def feed(self, piece: str) -> str:
        """Take a piece, and return what may go out now."""
        if self.blocked:
            return ""
        passed = 0 if self._holding else self._passed_chars(piece)
        return piece if passed == len(piece) else piece[:passed] + self._looked_through(piece[passed:])

    def _passed_chars(self, piece: str) -> int:
        """Take the words with which a piece begins, each behind a space, that have nothing to do with the prompt."""
        passed = 0
        before, *words = piece.split(" ")
        for word in () if before else words:
            if not (word.isalnum() and self._passes(word)):
                break
            passed += len(word) + 1
        return passed

    def _looked_through(self, piece: str) -> str:
        out: list[str] = []
        for part in _PARTS.findall(piece):
            if part[0].isalnum() or part[0] in _HIDDEN:
                self._begin_or_go_on(part)
            else:
                self._end_word(out)
            if self.blocked:
                break
            if self._holding:
                self._held += part
            else:
                out.append(part)
            if len(self._held) > MAX_HELD_CHARS:
                self._let_go(out)
        return "".join(out)

    def finish(self) -> str:
        """Nothing follows: return what was held of it."""
        if self.blocked:
            return ""
        out: list[str] = []
        self._end_word(out)
        if not self._dropping and not self.blocked:
            out.append(self._held)
        self._held = ""
        return "".join(out)

    def _passes(self, word: str) -> bool:
        """Take a word behind a space, if it has nothing to do with the prompt, and neither has what it ends."""
        last = (*self._last, _plain(self._word)) if self._word else self._last
        if last[1 - GRAM_WORDS :] in self._prompts.beginnings or last in self._prompts.grams:
            return False
        self._last, self._word = last[1 - GRAM_WORDS :], word
        return True

    def _begin_or_go_on(self, part: str) -> None:
        if not self._word:
            self._holding = bool(self._run) or self._last in self._prompts.beginnings
        if len(self._word) <= MAX_WORD_CHARS:
            self._word += part

    def _end_word(self, out: list[str]) -> None:
        """A word is whole: say what becomes of it, and of what was held before it."""
        word, self._word = _plain(self._word), ""
        if word:
            gram = (*self._last, word)
            self._last = gram[1 - GRAM_WORDS :]
            if gram in self._prompts.grams:
                self._go_on_with(gram, out)
            elif self._holding:
                self._let_go(out)

    def _go_on_with(self, gram: tuple[str, ...], out: list[str]) -> None:
        self._run.extend(gram[-1:] if self._run else gram)
        self._seen.add(gram)
        if self._dropping:
            self._held = ""
        elif len(self._run) >= RUN_WORDS:
            self._end_of_patience(out)
        if len(self._seen) >= self._prompts.contained_from and not self.blocked:
            self._stop()

    def _end_of_patience(self, out: list[str]) -> None:
        run = " ".join(self._run)
        if run in " ".join(self._said()):
            self._seen.difference_update(zip(*(self._run[offset:] for offset in range(GRAM_WORDS)), strict=False))
            self._let_go(out)
            return
        if self._notice is None:
            self._stop()
            return
        self._leaked(Action.REDACT)
        out.append(self._notice)
        self._held, self._dropping = "", True

    def _stop(self) -> None:
        self._leaked(Action.BLOCK)
        self.blocked = True

    def _let_go(self, out: list[str]) -> None:
        out.append(self._held)
        self._held = ""
        self._run.clear()
        self._holding = self._dropping = False
