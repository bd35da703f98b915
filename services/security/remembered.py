"""A bounded memory of what was learnt about somebody's key or token."""

from collections import OrderedDict
from typing import Generic, TypeVar

from services.runs.deadline import Clock

ValueT = TypeVar("ValueT")


class Remembered(Generic[ValueT]):
    """What was learnt, until it is `ttl_s` old or `size` newer things were learnt."""

    def __init__(self, *, ttl_s: float, size: int, clock: Clock) -> None:
        self._ttl_s = ttl_s
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, ValueT]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> ValueT | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        learnt_at, value = entry
        if self._clock() - learnt_at >= self._ttl_s:
            del self._entries[key]
            return None
        return value

    def put(self, key: bytes, value: ValueT) -> None:
        self._entries[key] = (self._clock(), value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
