"""The semantic tier: checks in order over every sentence, each within its deadline. No verdict is never a good one."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import Field

from services.errors import ConfigurationError, GuardrailUnavailable, MainstayError
from services.guard import ALLOWED, Verdict, worst
from services.guardrails.knobs import RuleKnobs
from services.guardrails.semantic import CHECKS
from services.guardrails.semantic.types import Ask, Context, SemanticCheck
from services.telemetry.metrics import SEMANTIC_SECONDS, SEMANTIC_VERDICTS, UNMEASURED, Meter

MAX_DEADLINE_S = 60.0


class Mode(StrEnum):
    """When a sentence is shown: `sync` once it is judged; `async` at once, to be taken back if need be.

    `auto` is async, and sync for a turn that is not to be trusted: its input was flagged, or the model has read what came from
    outside.
    """

    AUTO = "auto"
    SYNC = "sync"
    ASYNC = "async"

    def runs_ahead(self, *, trusted: bool) -> bool:
        """Whether a sentence may be shown before it is judged."""
        return self is Mode.ASYNC or (self is Mode.AUTO and trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCheck:
    check: SemanticCheck
    deadline_s: float


class SemanticTier:
    """Immutable: live knobs make another one, and a run keeps the one with which it began."""

    def __init__(
        self,
        checks: Sequence[TimedCheck],
        mode: Mode = Mode.AUTO,
        *,
        meter: Meter = UNMEASURED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode = mode
        self._checks = tuple(checks)
        self._meter = meter
        self._clock = clock

    async def judge(self, piece: str, context: Context, tally: "Tally") -> Verdict:
        """Return the most severe verdict; the first that ends the answer is the last that is asked for.

        Raises GuardrailUnavailable where a check says that it cannot tell, or does not in time, and what a wrong check raises.
        """
        verdict = ALLOWED
        for timed in self._checks if piece.strip() else ():
            verdict = worst(verdict, await self._asked(timed, piece, context, tally))
            if not verdict.action.passes:
                break
        return verdict

    async def _asked(self, timed: TimedCheck, piece: str, context: Context, tally: "Tally") -> Verdict:
        name, started, came_of_it = timed.check.name, self._clock(), "failed"
        try:
            async with asyncio.timeout(timed.deadline_s):
                verdict = await timed.check.judge(piece, context)
            came_of_it = verdict.action.value
        except TimeoutError:
            came_of_it = "late"
            raise GuardrailUnavailable(f"The check {name} did not come to a verdict in time.") from None
        except MainstayError as error:
            raise GuardrailUnavailable(f"The check {name} could not come to a verdict.") from error
        except asyncio.CancelledError:
            came_of_it = "stopped"
            raise
        else:
            return verdict
        finally:
            tally.add(name, came_of_it, self._clock() - started)

    def record(self, tally: "Tally") -> None:
        """Measure what a run's texts have cost: once for each run, since an observation costs more than many a check."""
        for (check, verdict), count in tally.verdicts.items():
            self._meter.record(SEMANTIC_VERDICTS, float(count), {"check": check, "verdict": verdict})
        for check, longest_s in tally.longest_s.items():
            self._meter.record(SEMANTIC_SECONDS, longest_s, {"check": check})


@dataclass(slots=True)
class Tally:
    """The verdicts on a run's sentences by check, and the longest that each took for one."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    longest_s: dict[str, float] = field(default_factory=dict)

    def add(self, check: str, verdict: str, seconds: float) -> None:
        self.verdicts[check, verdict] += 1
        self.longest_s[check] = max(seconds, self.longest_s.get(check, 0.0))


class _Deadline(RuleKnobs):
    deadline_s: float = Field(default=2.0, gt=0, le=MAX_DEADLINE_S)


def build_tier(checks: Mapping[str, Mapping[str, Any]], mode: Mode, ask: Ask, meter: Meter) -> SemanticTier:
    """Return the tier of the named checks, each with its knobs. Raises ConfigurationError."""
    timed: list[TimedCheck] = []
    for name, knobs in checks.items():
        if name not in CHECKS:
            raise ConfigurationError(f"There is no semantic check {name!r}. Choose from: {', '.join(CHECKS)}.")
        own = {key: value for key, value in knobs.items() if key != "deadline_s"}
        asked = {key: value for key, value in knobs.items() if key == "deadline_s"}
        deadline_s = _Deadline.read(name, asked).deadline_s
        timed.append(TimedCheck(check=CHECKS[name](own, ask), deadline_s=deadline_s))
    return SemanticTier(timed, mode, meter=meter)
