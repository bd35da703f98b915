"""The signs of an injection: phrases and marks, each worth a point or two. How they are read is in `phrases`."""

from services.guardrails.signs.phrases import Sign
from services.guardrails.signs.tables import english, marks, multilingual

SIGNS: tuple[Sign, ...] = (*english(), *marks(), *multilingual())
"""Every sign. The points of those that a text bears add up: two are strong, one is medium."""
