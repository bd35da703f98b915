"""What the settings say of how long things are kept."""

from configs.settings import Settings
from services.runs.prune import RetentionPolicy


def retention_policy(settings: Settings) -> RetentionPolicy:
    kept = settings.retention
    return RetentionPolicy(
        compact_after_s=kept.compact_after_s,
        ephemeral_ttl_s=kept.ephemeral_ttl_s,
        thread_ttl_s=kept.thread_ttl_s,
        events_ttl_s=kept.events_ttl_s,
        usage_ttl_s=kept.usage_ttl_s,
        attempts_ttl_s=kept.attempts_ttl_s,
        alerts_ttl_s=kept.alerts_ttl_s,
        traces_ttl_s=kept.traces_ttl_s,
    )
