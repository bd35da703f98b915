"""`accept` on the database of a launch, from any machine that reaches it."""

from uuid import UUID

from uuid_utils.compat import uuid7

from configs.settings import load, read
from deployments.composition.drift import channel_names
from deployments.launch.options import Options
from services.storage import migrate
from services.storage.database import Database
from services.storage.drift import DriftRepository


async def accept(url: str, alert_id: UUID, options: Options) -> bool:
    """End an alert: its series learns anew what is usual. False where no series has it. Raises SchemaMismatch.

    The channels that this environment names are told.
    """
    own = read(options.settings_path) if options.settings_path else {}
    channels = channel_names(load(["production"], own).alerts)
    database = Database.open(url, pool_size=1, application_name="mainstay-accept")
    try:
        await migrate.require_head(database)
        return await DriftRepository(database, channels, new_id=uuid7).rebaseline(alert_id)
    finally:
        await database.close()
