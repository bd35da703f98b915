"""Guardrails: what may go in, what tools may return, and what may go out. The registry of rules."""

from collections.abc import Mapping

from services.guardrails.injection import InjectionRule
from services.guardrails.length import LengthRule
from services.guardrails.types import GuardrailFactory

GUARDRAILS: Mapping[str, GuardrailFactory] = {
    "length": LengthRule,
    "injection": InjectionRule,
}
