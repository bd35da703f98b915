"""What Serve's status means for somebody who waits: running, not yet, or never, and then why in one line."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.launch.errors import LaunchFailed, one_line

_UNSCHEDULED = re.compile(
    r"Deployment '(?P<name>[^']+)'.* has (?P<count>\d+) replicas that have taken more than .* to be scheduled"
    r".*Resources required for each replica: (?P<required>\{.*?\}), total resources available: (?P<free>\{.*?\})",
    re.DOTALL,
)
_RAISED = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:\([^)]*\))?: \S", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Serve's word on one application: `state` and `message` of it, `messages` of its deployments by name."""

    state: str
    message: str
    messages: Mapping[str, str]


def is_running(status: Status, *, logs: str) -> bool:
    """Return whether the application serves. Raises LaunchFailed when waiting longer would not help.

    `logs` is the folder that the remedy names.
    """
    if status.state == "RUNNING":
        return True
    for text in status.messages.values():
        if (pending := _UNSCHEDULED.search(text)) and _lacks(pending["required"], pending["free"]):
            raise LaunchFailed(
                f"{pending['count']} replicas of {pending['name']} wait for processors: each needs "
                f"{pending['required']}, free are {pending['free']}",
                "lower min_replicas or num_cpus in serve_config.yaml, or tell Ray of more with MAINSTAY_CPUS",
            )
    if status.state in {"DEPLOY_FAILED", "UNHEALTHY"}:
        causes = [raised(text) for text in (*status.messages.values(), status.message) if text]
        raise LaunchFailed(f"the application did not start ({next(filter(None, causes), status.state)})", f"see {logs}")
    return False


def _lacks(required: str, free: str) -> bool:
    """Whether a resource is short; where none is, the replica's process only takes its time to start."""
    try:
        there = json.loads(free)
        return any(there.get(name, 0) < amount for name, amount in json.loads(required).items())
    except ValueError:
        return True


def raised(text: str) -> str:
    """Return the last exception of a traceback with its message, or the text where it holds none."""
    found = list(_RAISED.finditer(text))
    return one_line(text[found[-1].start() :] if found else text)
