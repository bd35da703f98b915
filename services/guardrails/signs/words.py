"""The plain form of a text with its words looked up, so that patterns are tried where they can begin and nowhere else."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, KeysView
from dataclasses import dataclass
from itertools import chain
from typing import Self

STEM_CHARS = 3
MAX_ATTEMPTS = 12_000
"""How often patterns are tried on one text. Only a text that is crammed with the words of orders needs more."""


@dataclass(frozen=True, slots=True)
class Keys:
    """First words of a choice: `whole` ones, and the first STEM_CHARS of those that may have any ending."""

    whole: frozenset[str]
    stems: frozenset[str]

    @classmethod
    def any_of(cls, choices: Iterable[Self]) -> Self:
        """Return the keys of a choice between choices."""
        given = list(choices)
        return cls(
            frozenset().union(*(keys.whole for keys in given)), frozenset().union(*(keys.stems for keys in given))
        )


class Words:
    """A text's words by their places. It counts the attempts to match, and is `crammed` once there are no more."""

    def __init__(self, plain_text: str) -> None:
        self.text = plain_text
        self.ascii = plain_text.isascii()
        self._places: dict[str, list[int]] = defaultdict(list)
        self._stems: dict[str, list[int]] = defaultdict(list)
        self._attempts_left = MAX_ATTEMPTS
        place = 0
        for word in plain_text.split(" "):
            self._places[word].append(place)
            place += len(word) + 1
        for word, places in self._places.items():
            self._stems[word[:STEM_CHARS]] += places

    @property
    def crammed(self) -> bool:
        return self._attempts_left < 0

    @property
    def whole(self) -> KeysView[str]:
        return self._places.keys()

    @property
    def stems(self) -> KeysView[str]:
        """The first STEM_CHARS of each word."""
        return self._stems.keys()

    def has(self, keys: Keys) -> bool:
        """Whether one of the words is there."""
        return not (self._places.keys().isdisjoint(keys.whole) and self._stems.keys().isdisjoint(keys.stems))

    def places(self, keys: Keys) -> Iterator[int]:
        """Yield where one of the words begins, as long as attempts are left."""
        for place in chain(_found(self._places, keys.whole), _found(self._stems, keys.stems)):
            self._attempts_left -= 1
            if self._attempts_left < 0:
                return
            yield place


def _found(places: dict[str, list[int]], keys: Collection[str]) -> Iterator[int]:
    return chain.from_iterable(places[key] for key in places.keys() & keys)
