"""`prune` and `erase` on the database of a launch, from any machine that reaches it."""

from collections.abc import Mapping

from configs.settings import load, read
from deployments.chore_reports import MeasuredPruning
from deployments.composition.retention import retention_policy
from deployments.launch.options import Options
from services.runs.prune import RetentionPolicy
from services.storage import migrate
from services.storage.database import Database
from services.storage.erasure import Erasure
from services.storage.retention import Retention
from services.telemetry.metrics import UNMEASURED, Meter

_COMMAND_TIMEOUT_S = 120.0  # an administrator waits longer than a request, for a thread of some ten thousand turns


def chosen_policy(options: Options, overlay: str) -> RetentionPolicy:
    """Return what configs/default.yaml, an overlay and MAINSTAY_SETTINGS say together. Raises SettingsError."""
    own = read(options.settings_path) if options.settings_path else {}
    return retention_policy(load([overlay], own))


async def prune(url: str, policy: RetentionPolicy, meter: Meter = UNMEASURED) -> Mapping[str, int]:
    """Let go once of what is past its time; return how much of what that was. Raises SchemaMismatch."""
    database = _open(url, "mainstay-prune")
    try:
        await migrate.require_head(database)
        return await MeasuredPruning(Retention(database, policy), meter).prune()
    finally:
        await database.close()


async def erase(url: str, *, tenant_id: str, user_id: str, cancel: bool, wait_s: float) -> Mapping[str, int]:
    """Erase a user; return how much of what that was. Raises ThreadBusy while runs of theirs have not ended."""
    database = _open(url, "mainstay-erase")
    try:
        await migrate.require_head(database)
        return await Erasure(database, wait_s=wait_s).erase(tenant_id, user_id, cancel=cancel)
    finally:
        await database.close()


def _open(url: str, name: str) -> Database:
    return Database.open(url, pool_size=1, command_timeout_s=_COMMAND_TIMEOUT_S, application_name=name)
