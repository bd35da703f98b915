"""What can be switched, and what is counted."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

from benchmarks.upstream.awaited import Awaited


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How bad the network is now. ValueError for what cannot be."""

    latency_to_target_s: float = 0.0
    """Added to whatever the client sends, its FIN included; bytes that are under way keep their order."""
    latency_to_client_s: float = 0.0
    bytes_per_s: float | None = None
    """In each direction of each connection; None is as fast as it goes."""
    black_hole: bool = False
    """Nothing passes. What the open connections send is kept until this ends, as TCP would send it again; connections made
    meanwhile are accepted, swallowed, and lead nowhere even afterwards."""

    def __post_init__(self) -> None:
        for name in ("latency_to_target_s", "latency_to_client_s"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} is a number of seconds, not {getattr(self, name)!r}")
        if self.bytes_per_s is not None and not (_is_number(self.bytes_per_s) and self.bytes_per_s > 0):
            raise ValueError(f"bytes_per_s is a number above 0, or null, not {self.bytes_per_s!r}")
        if type(self.black_hole) is not bool:
            raise ValueError(f"black_hole is true or false, not {self.black_hole!r}")

    def changed(self, changes: Mapping[str, Any]) -> "Switches":
        """These with some changed. ValueError for one that there is not."""
        if unknown := changes.keys() - {field.name for field in fields(self)}:
            raise ValueError(f"no switch {', '.join(sorted(unknown))}")
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True, kw_only=True, eq=False)
class Traffic(Awaited):
    """Counts since the proxy was made; a test waits for them instead of sleeping."""

    who: ClassVar[str] = "the proxy"

    accepted: int = 0
    """Connections taken from clients."""
    open: int = 0
    """Of these, not yet closed on both sides."""
    swallowed: int = 0
    """Of these, lost in a black hole from the start."""
    unreachable: int = 0
    """Of these, reset because the target did not take them."""
    bytes_from_client: int = 0
    bytes_to_target: int = 0
    bytes_from_target: int = 0
    bytes_to_client: int = 0

    def count(self, **more: int) -> None:
        """Add to counts, by name."""
        for name, number in more.items():
            setattr(self, name, getattr(self, name) + number)
        self._tell()

    def summary(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self) if not field.name.startswith("_")}


def _is_number(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value)  # type: ignore[arg-type]
