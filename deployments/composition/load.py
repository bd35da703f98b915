"""The load monitor as the settings have it: the same policy in every replica that takes runs on."""

from configs.settings import Settings
from deployments.policies import policy
from services.resilience.memory import linux_memory_share
from services.resilience.overload import LoadMonitor, LoadPolicy


def load_policy(settings: Settings) -> LoadPolicy:
    """Return the policy. Raises ConfigurationError."""
    return policy(LoadPolicy, "load", settings.load)


def load_monitor(settings: Settings) -> LoadMonitor:
    return LoadMonitor(load_policy(settings), memory_share=linux_memory_share())
