"""What may go out of an agent replica, as the settings say."""

from typing import Any

from configs.settings import OutputSettings
from services.guard import Action
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.telemetry.metrics import Meter


def output_screen(settings: OutputSettings, meter: Meter) -> OutputScreen:
    """Return the screen of every run of a replica."""
    chosen: dict[str, Any] = {name: Action(value) if isinstance(value, str) else value for name, value in settings}
    return OutputScreen(OutputPolicy(**chosen), meter=meter)
