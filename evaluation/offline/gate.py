"""What must hold before a change may go out: rules from a file, each of one measure.

[passed]
mean = 0.6             # the mean is at least this (at most, where less is better)
bound = 0.5            # so is the end of its 95 % interval that is nearer to bad
regression = 0.0       # it is not shown, with 95 %, to be worse than the baseline by more than this
margin = 0.1           # it is shown, with 95 %, to be worse by no more than this: needs more cases than the one above
unscored = 0.1         # the share of cases without a value is at most this; 0.1 where it is not said
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.offline.comparison import Comparison, Difference, Line, direction

UNSCORED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule, and whether it holds. `said` is both in words."""

    holds: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Limits by measure, then by rule."""

    rules: Mapping[str, Mapping[str, float]]

    def findings(self, found: Comparison) -> list[Finding]:
        """Try every rule. Raises ValueError for one that cannot be tried: that is no pass."""
        for results in filter(None, (found.results, found.baseline)):
            if not results.complete:
                done, all_of_them = len(results.cases), results.conditions.cases
                raise ValueError(
                    f"{results.conditions.name} has {done} of {all_of_them} cases: finish it with --resume"
                )
        known = {line.measure.name: line for line in found.lines}
        against = {one.measure.name: one for one in found.differences}
        findings = []
        for name, limits in self.rules.items():
            if name not in known:
                raise ValueError(f"[{name}] was not measured; measured were: {', '.join(known)}")
            if limits.keys() & _COMPARED.keys() and found.baseline is None:
                raise ValueError(f"[{name}] compares with a baseline: name one with --baseline")
            findings += _findings(known[name], against.get(name), limits)
        return findings


def read_gate(path: Path) -> Gate:
    """Read a file of rules. Raises ValueError for what is none, and OSError."""
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    if not rules:
        raise ValueError(f"{path}: there is no rule in it")
    for name, limits in rules.items():
        if not isinstance(limits, dict) or not limits:
            raise ValueError(f"{path}: {name} is a table of rules, such as [{name}] with mean = 0.6")
        for rule, limit in limits.items():
            if rule not in RULES:
                raise ValueError(f"{path}, [{name}]: {rule!r} is not one of: {', '.join(RULES)}")
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise ValueError(f"{path}, [{name}]: {rule} is a number")
    return Gate(rules=rules)


def _findings(line: Line, difference: Difference | None, limits: Mapping[str, float]) -> list[Finding]:
    name = line.measure.name
    sign = direction(line.measure)
    if sign == 0:
        raise ValueError(f"[{name}] has no direction that is better, so no rule can hold it")
    cases = line.unscored + (0 if line.mean is None else line.mean.n)
    unscored, most = line.unscored / cases, limits.get("unscored", UNSCORED)
    found = [Finding(holds=unscored <= most, said=f"{name}: {unscored:.0%} unscored, at most {most:.0%}")]
    for rule, limit in limits.items():
        if rule in _ALONE:
            found.append(_ALONE[rule](line, limit, sign))
        elif rule in _COMPARED:
            found.append(_COMPARED[rule](line, difference, limit, sign))
    return found


def _mean(line: Line, limit: float, sign: int) -> Finding:
    at = None if line.mean is None else line.mean.mean
    return _limited(f"{line.measure.name}: mean", at, limit, sign)


def _bound(line: Line, limit: float, sign: int) -> Finding:
    at = None if line.mean is None else line.mean.low if sign > 0 else line.mean.high
    return _limited(f"{line.measure.name}: {'lower' if sign > 0 else 'upper'} bound of the mean", at, limit, sign)


def _limited(what: str, at: float | None, limit: float, sign: int) -> Finding:
    asked = f"{'at least' if sign > 0 else 'at most'} {limit:g}"
    if at is None:
        return Finding(holds=False, said=f"{what} is not known, {asked}")
    return Finding(holds=sign * at >= sign * limit, said=f"{what} {at:.3f}, {asked}")


def _regression(line: Line, difference: Difference | None, limit: float, sign: int) -> Finding:
    """Fails where the whole interval is beyond the limit."""
    return _worse_by(
        line, difference, sign, f"shown to be worse by more than {limit:g}", lambda _, best: best >= -limit
    )


def _margin(line: Line, difference: Difference | None, limit: float, sign: int) -> Finding:
    """Holds where the whole interval is within the limit."""
    return _worse_by(
        line, difference, sign, f"not shown to be worse by no more than {limit:g}", lambda worst, _: worst >= -limit
    )


def _worse_by(
    line: Line, difference: Difference | None, sign: int, complaint: str, holds: Callable[[float, float], bool]
) -> Finding:
    name = line.measure.name
    if difference is None:
        return Finding(holds=False, said=f"{name}: no case has a value in both")
    found = difference.found
    worst, best = sorted((sign * found.low, sign * found.high))
    ok = holds(worst, best)
    figures = (
        f"difference {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}, n={found.n}, p={found.p:.4f})"
    )
    return Finding(holds=ok, said=f"{name}: {figures}" + ("" if ok else f", {complaint}"))


_ALONE: Mapping[str, Callable[[Line, float, int], Finding]] = {"mean": _mean, "bound": _bound}
_COMPARED: Mapping[str, Callable[[Line, Difference | None, float, int], Finding]] = {
    "regression": _regression,
    "margin": _margin,
}
RULES = (*_ALONE, *_COMPARED, "unscored")
