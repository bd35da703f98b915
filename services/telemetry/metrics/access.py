"""Who is let in, and who is not."""

from services.telemetry.metrics.meter import Metric

ACCESS_REFUSED = Metric(
    name="mainstay_access_refused",
    kind="counter",
    description="Requests whose key or token was refused, by reason; each is a 401.",
    labels=("reason",),
)

PERMISSION_DENIED = Metric(
    name="mainstay_permissions_denied",
    kind="counter",
    description="Permissions that somebody asked for and lacked, by permission; each is a 403.",
    labels=("permission",),
)

AUDIT_EVENTS_DROPPED = Metric(
    name="mainstay_audit_events_dropped",
    kind="counter",
    description="Refusals that are counted above and missing in the audit trail: there were too many kinds of them at once.",
)

KEY_SET_FETCHES = Metric(
    name="mainstay_key_set_fetches",
    kind="counter",
    description="Requests for the identity provider's keys, by what came of them: ok, failed.",
    labels=("outcome",),
)
