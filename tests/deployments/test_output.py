"""From the settings to the output screen."""

from dataclasses import fields

from configs.settings import OutputSettings
from deployments.composition.output import output_screen
from services.guard import Action
from services.guardrails.screen.policy import OutputPolicy
from services.telemetry.metrics import UNMEASURED


def test_the_settings_say_what_the_policy_says() -> None:
    """The same names, and the same defaults."""
    assert OutputSettings.model_fields.keys() == {field.name for field in fields(OutputPolicy)}
    assert output_screen(OutputSettings(), UNMEASURED).policy == OutputPolicy()


def test_what_is_set_is_what_holds() -> None:
    """Every action by its name."""
    settings = OutputSettings(secrets="block", emails="redact", images="allow", allow_hosts=("*.example.com",))
    policy = output_screen(settings, UNMEASURED).policy
    assert (policy.secrets, policy.emails, policy.images) == (Action.BLOCK, Action.REDACT, Action.ALLOW)
    assert policy.allow_hosts == ("*.example.com",)
