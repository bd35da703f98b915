"""One pool of Postgres connections per replica, and the one place that knows how Postgres fails.

The pool is SQLAlchemy's; `raw` lends its asyncpg connections to what runs per request, so that a replica never opens more
than `pool_size`. When Postgres goes away its connections close by themselves; the pool notices that as it hands one out,
without asking the server, and opens another. So a `Database` outlives any number of restarts of its server.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.errors import ConfigurationError, StoreUnavailable
from services.storage.encoding import to_json

CONNECT_TIMEOUT_S = 2.0
_SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg"}
_UNAVAILABLE = (
    OSError,  # TimeoutError among them
    sqlalchemy_errors.TimeoutError,  # no connection of the pool came free in time
    sqlalchemy_errors.DisconnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting, cancelled by a statement timeout
    asyncpg.TransactionRollbackError,  # a deadlock, of which we were chosen to give way
    asyncpg.InsufficientResourcesError,  # too many connections, disk or memory full
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,  # we reached a standby
    asyncpg.InternalClientError,  # a connection that was idle when the server said goodbye, and has yet to close
)


class Database:
    """A pool of at most `pool_size` connections. Every method raises StoreUnavailable when Postgres cannot answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def open(
        cls,
        url: str,
        *,
        pool_size: int = 3,
        pool_timeout_s: float = 5.0,
        command_timeout_s: float = 10.0,
        statement_timeout_s: float | None = None,
        replans: bool = True,
        application_name: str = "mainstay",
    ) -> "Database":
        """Return a database without connecting. Raises ConfigurationError for what is not a Postgres URL.

        `pool_timeout_s` bounds the wait for a free connection, `command_timeout_s` each statement; connecting may take
        2 s. After `statement_timeout_s` the server itself gives a statement up, and lets go of what it has locked.
        Connections are made as they are needed and kept. Where nothing `replans`, a statement is planned once for all
        values: for those of which every value wants the same plan.
        """
        dsn = normalise(url)

        async def connect() -> "asyncpg.Connection[Any]":
            return await connect_to(
                dsn,
                command_timeout_s=command_timeout_s,
                statement_timeout_s=statement_timeout_s,
                replans=replans,
                application_name=application_name,
            )

        engine = create_async_engine(
            "postgresql+asyncpg://",  # what asyncpg itself reads from the URL never reaches SQLAlchemy, nor its errors
            async_creator=connect,
            json_serializer=to_json,
            json_deserializer=orjson.loads,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_s,
            pool_use_lifo=True,  # few connections stay hot, with their prepared statements
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "checkout", _discard_closed)
        return cls(engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection inside a transaction, which commits when the block ends and rolls back when it raises.

        A connection that stopped answering may take the command timeout twice, for the rollback is tried on it too.
        """
        with translated():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def raw(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """Lend a connection as asyncpg's own; each statement commits by itself unless the block opens a transaction."""
        with translated():
            borrowed = await self._engine.raw_connection()
            connection = cast("asyncpg.Connection[Any]", borrowed.driver_connection)
            reusable = False
            try:
                yield connection
                reusable = True
            except asyncpg.PostgresError as error:
                reusable = not (isinstance(error, _UNAVAILABLE) or connection.is_in_transaction())
                raise
            except asyncpg.InterfaceError as error:
                if connection.is_closed():  # asyncpg has no class of its own for this
                    raise unavailable() from error
                raise
            finally:
                # A timeout or a cancellation may leave a statement running, so its connection is not used again.
                if not reusable and not connection.is_closed():
                    connection.terminate()
                borrowed.close()

    async def ping(self) -> None:
        """Return when Postgres answered a query."""
        async with self.raw() as connection:
            await connection.fetchval("SELECT 1")

    async def close(self) -> None:
        """Close the pool's connections. For the end of a replica: nothing may be using one any more."""
        await self._engine.dispose()


def normalise(url: str) -> str:
    """Return the URL as asyncpg reads it, whichever driver it names. Raises ConfigurationError, without the URL."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in _SCHEMES:
        raise ConfigurationError(
            "The database URL must look like postgresql://user:password@host:5432/name "
            "or postgresql://user@/name?host=/folder/of/the/socket."
        )
    return "postgresql" + url[url.index(":") :]


async def connect_to(
    dsn: str,
    *,
    command_timeout_s: float | None,
    statement_timeout_s: float | None = None,
    replans: bool = True,
    application_name: str,
) -> "asyncpg.Connection[Any]":
    """Open one connection. Raises ConfigurationError where the URL cannot be read, without repeating any of it."""
    server_settings = {"application_name": application_name}
    if statement_timeout_s is not None:
        server_settings["statement_timeout"] = f"{statement_timeout_s * 1_000:.0f}"
    if not replans:
        server_settings["plan_cache_mode"] = "force_generic_plan"
    try:
        return await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=command_timeout_s, server_settings=server_settings
        )
    except (ValueError, asyncpg.ClientConfigurationError):
        raise ConfigurationError(
            "The database URL cannot be read: is every special character of its password written as %XX?"
        ) from None


def unavailable() -> StoreUnavailable:
    """Return the one error for a Postgres that does not answer; what exactly happened is its cause."""
    return StoreUnavailable("The database cannot be reached.", retry_after_s=1.0)


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable where Postgres could not be reached in time; any other error is a bug and passes."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise unavailable() from error
    except sqlalchemy_errors.EmulatedDBAPIException as error:  # while connecting
        if isinstance(error.orig, _UNAVAILABLE):
            raise unavailable() from error
        raise
    except sqlalchemy_errors.DBAPIError as error:  # while executing
        cause = getattr(error.orig, "orig", None)
        if error.connection_invalidated or isinstance(cause, _UNAVAILABLE):
            raise unavailable() from error
        raise


def _discard_closed(connection: Any, _record: object, _fairy: object) -> None:
    """Make the pool replace a connection that closed while it was idle; costs no round trip."""
    if connection.driver_connection.is_closed():
        raise sqlalchemy_errors.DisconnectionError
