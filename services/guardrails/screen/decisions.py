"""What the output guard decided in one run, for the record: what it went by, what it found, how much it read. Never a text."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import orjson

from services.guard import Action
from services.guardrails.screen.policy import OutputPolicy
from services.types import Run

logger = logging.getLogger(__name__)


def version_of(policy: OutputPolicy) -> str:
    """Return twelve digits that change with the policy and with the names of its rules."""
    rules = [rule.name for rule in (*policy.rules(), *policy.link_rules())]
    kept = {name: value for name, value in asdict(policy).items() if name != "canaries"}  # nobody is to guess them
    return hashlib.sha256(orjson.dumps([kept, rules], option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


@dataclass(slots=True, kw_only=True)
class Decisions:
    """`found` counts what was found by rule and action; `chars_in` is what models wrote as text, and `chars_out` what of that,
    or in its place, was released in the end.
    """

    version: str
    found: Counter[tuple[str, Action]] = field(default_factory=Counter)
    chars_in: int = 0
    chars_out: int = 0
    retracted_chars: int = 0
    tainted: bool = False

    def log(self, run: Run, verdicts: Mapping[tuple[str, str], int], longest_s: Mapping[str, float]) -> None:
        """Write one line, if there was anything to decide. `verdicts` and `longest_s` are the semantic tier's `Tally`."""
        if not self.found and not self.retracted_chars:
            return
        fields = {
            "run_id": run.id,
            "graph": run.graph,
            "attempt": run.attempt,
            "guard": self.version,
            "rules": {f"{rule}:{action}": count for (rule, action), count in sorted(self.found.items())},
            "verdicts": {f"{check}:{verdict}": count for (check, verdict), count in sorted(verdicts.items())},
            "longest_check_s": {check: round(seconds, 4) for check, seconds in longest_s.items()},
            "chars_in": self.chars_in,
            "chars_out": self.chars_out,
            "retracted_chars": self.retracted_chars,
            "flagged": run.flagged,
            "tainted": self.tainted,
        }
        logger.warning("output guard: %s", orjson.dumps(fields).decode())
