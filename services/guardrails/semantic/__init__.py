"""What an answer means, sentence by sentence. The registry of checks."""

from collections.abc import Mapping

from services.guardrails.semantic.encoded import EncodedCheck
from services.guardrails.semantic.judge import JudgeCheck
from services.guardrails.semantic.phrases import PhrasesCheck
from services.guardrails.semantic.types import CheckFactory

CHECKS: Mapping[str, CheckFactory] = {
    "phrases": PhrasesCheck,
    "encoded": EncodedCheck,
    "judge": JudgeCheck,
}
