"""A text that comes in pieces goes out as soon as nothing of it can become part of a sensitive item any more.

What is held is the tail from the first place on where an item may have begun. What comes out, put together, is the same
however the text was cut: every decision is made when nothing that follows could change it.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from services.guard import Action
from services.guardrails.screen.rules import Mark, Rule
from services.guardrails.screen.shapes import Word, begun, first_characters, suspicion, whole

MAX_HELD_CHARS = 4_096
"""What is longer and might still become an item is taken for one."""

_TERMINATOR_CHARS = 64
"""At least the length of anything that a rule's `until` matches."""

_PARAGRAPH_END = "\n\n"

_CONTEXT_CHARS = 2
"""How far an item looks back, to know whether it stands inside a word."""

Tripped = Callable[[Rule], None]


@dataclass(frozen=True, slots=True)
class Item:
    """What a rule found: it ends before `end`."""

    rule: Rule
    end: int


class Nothing(Enum):
    """No item, or none that what has come so far could show."""

    HERE = "here"
    YET = "yet"


@dataclass(frozen=True, slots=True)
class _Ready:
    rule: Rule
    whole: re.Pattern[str]
    begun: re.Pattern[str]


def _nothing(found: str, before: str, behind: str) -> int:
    """What is looked for only to be known of."""
    return 0


class RuleSet:
    """Rules, ready for use by any number of texts. Where two may begin in the same place, the earlier one goes first."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.marks = tuple({rule.behind for rule in rules if rule.behind is not None})
        """What rules want to know of a paragraph."""
        noted = (*(mark.shape for mark in self.marks), (Word(_PARAGRAPH_END),)) if self.marks else ()
        rules = (*rules, *(Rule(name="", label="", shape=shape, check=_nothing) for shape in noted))
        self.suspicion = suspicion([rule.shape for rule in rules])
        """Finds where an item may begin."""
        self._by_first: dict[str, list[_Ready]] = {}
        for rule in rules:
            ready = _Ready(rule, re.compile(whole(rule.shape)), re.compile(begun(rule.shape)))
            for char in first_characters(rule.shape):
                self._by_first.setdefault(char, []).append(ready)

    def decide(self, text: str, start: int, said: str, marked: Collection[Mark], *, final: bool) -> Item | Nothing:
        """Return the item that begins at `start`, once nothing that follows can change what is to be said of that place."""
        longest = start + MAX_HELD_CHARS
        window = min(len(text), longest)
        for ready in self._by_first[text[start]]:
            rule = ready.rule
            if rule.behind is not None and rule.behind not in marked:
                continue
            growing = ready.begun.match(text, start, window) is not None
            if growing:
                if window == longest:
                    return Item(rule, window)
                if not final:
                    return Nothing.YET
            found = ready.whole.match(text, start, window)
            if found is None and growing and rule.is_cut_off(text[start:]):
                return Item(rule, len(text))
            if found is None:
                continue
            size = rule.check(found[0], text[max(0, start - 2) : start], text[found.end() : found.end() + 1])
            if size and not rule.spares(found[0][:size], said):
                return Item(rule, start + size)
        return Nothing.HERE


class HoldBack:
    """One text on its way out. `said` is what the user wrote in this turn, `tripped` is told of every item.

    An item of a rule that blocks ends the text where it begins: `blocked` is then True, and nothing more comes out.
    """

    __slots__ = ("_before", "_dropping", "_held", "_marked", "_rules", "_said", "_tripped", "blocked")

    def __init__(self, rules: RuleSet, said: str, tripped: Tripped) -> None:
        self._rules = rules
        self._said = said
        self._tripped = tripped
        self._before = ""
        self._held = ""
        self._marked: set[Mark] = set()
        self._dropping: Rule | None = None
        self.blocked = False

    @property
    def held_chars(self) -> int:
        return len(self._held)

    def feed(self, piece: str) -> str:
        """Take a piece, and return what may go out now."""
        if self._held or self._dropping is not None or self.blocked:
            return self._scan(piece, final=False)
        known = self._before + piece
        if self._rules.suspicion.search(known, len(self._before)):
            return self._scan(piece, final=False)
        self._before = known[-_CONTEXT_CHARS:]
        return piece

    def finish(self) -> str:
        """Nothing follows: return what was held of it."""
        return self._scan("", final=True) if self._held else ""

    def _scan(self, piece: str, *, final: bool) -> str:
        if self.blocked:
            return ""
        text, out = self._held + piece, list[str]()
        self._held = ""
        while text := self._after_drop(text, final=final):
            text = self._next(text, out, final=final)
        return "".join(out)

    def _next(self, text: str, out: list[str], *, final: bool) -> str:
        """Let out what is before the next item, and return what is behind it; nothing where no item is, or where it is held."""
        known = self._before + text
        done = at = len(self._before)
        while place := self._rules.suspicion.search(known, at):
            at = place.start()
            item = self._rules.decide(known, at, self._said, self._marked, final=final)
            if item is Nothing.HERE:
                self._note(known, at)
                at += 1
                continue
            out.append(known[done:at])
            if isinstance(item, Item):
                return self._replaced(item.rule, known[item.end :], out)
            self._held, self._before = known[at:], known[max(0, at - _CONTEXT_CHARS) : at]
            return ""
        out.append(known[done:])
        self._before = known[-_CONTEXT_CHARS:]
        return ""

    def _note(self, text: str, at: int) -> None:
        if text.startswith(_PARAGRAPH_END, at):
            self._marked.clear()
        self._marked.update(mark for mark in self._rules.marks if mark.pattern.match(text, at))

    def _replaced(self, rule: Rule, behind: str, out: list[str]) -> str:
        self._tripped(rule)
        if rule.action is Action.BLOCK:
            self.blocked = True
            return ""
        out.append(rule.notice)
        self._before = rule.notice[-_CONTEXT_CHARS:]
        self._dropping = rule if rule.rest or rule.until else None
        return behind

    def _after_drop(self, text: str, *, final: bool) -> str:
        """Return what of the text does not belong to the item before it any more."""
        rule = self._dropping
        if rule is None:
            return text
        if rule.until is not None:
            end = rule.until.search(text)
            if end is None:
                self._held = "" if final else text[-_TERMINATOR_CHARS:]
                return ""
            self._dropping = None
            return text[end.end() :]
        if rule.rest is not None and (more := rule.rest.match(text)) is not None:
            text = text[more.end() :]
        if text:
            self._dropping = None
        return text
