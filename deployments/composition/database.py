"""The database as every replica opens it."""

import os

from configs.settings import Settings
from services.storage.database import Database
from services.storage.migrate import require_head


async def open_database(settings: Settings, deployment: str) -> Database:
    """Open the replica's pool and refuse to serve on another schema than the code's."""
    database = Database.open(
        settings.database.url.resolve(os.environ),
        pool_size=settings.database.pool_size,
        pool_timeout_s=settings.database.pool_timeout_s,
        command_timeout_s=settings.database.command_timeout_s,
        application_name=f"mainstay-{deployment}",
    )
    await require_head(database)
    return database
