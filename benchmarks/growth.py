"""`python -m benchmarks.growth`: what a run costs in the database, and what is left of that a day later.

Turns are stored by the code that stores them in production, then every table is asked for its size: rows, indexes and what
Postgres keeps for itself. The table is printed, and written to its place in docs/retention.md.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth_turns import chat_turn, log_only, stateless_turn, tool_turn
from benchmarks.report import write_section
from services.runs.prune import RetentionPolicy
from services.storage import migrate
from services.storage.database import Database
from services.storage.retention import Retention
from services.storage.tables import metadata

Turn = Callable[[Database, int], Awaitable[None]]
TURNS: Mapping[str, Turn] = {
    "chat, stateless": stateless_turn,
    "chat, in a thread": chat_turn,
    "tool, in a thread": tool_turn,
    "log of 300 deltas": log_only,
}
_TABLES = sorted(metadata.tables)
# A process of its own, as every server here: it stops when its standard input closes.
_SERVER = """
import sys
from pathlib import Path
from deployments.launch.postgres import EmbeddedPostgres
server = EmbeddedPostgres(data_dir=Path(sys.argv[1]), settings={"fsync": "off"})  # sizes are the same
print(server.start(), flush=True)
sys.stdin.read()
server.stop()
"""
_LONG_AGO = "UPDATE runs SET finished_at = finished_at - interval '2 days', created_at = created_at - interval '2 days'"
_VACUUM = f"VACUUM FULL {', '.join(_TABLES)}"

Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Bytes per run in each table: as it was written, the same without what dead rows take, and once it was compacted."""

    title: str
    written: Mapping[str, float]
    live: Mapping[str, float]
    compacted: Mapping[str, float]


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """Run the embedded Postgres over an empty folder, and give its URL."""
    with tempfile.TemporaryDirectory(prefix="mainstay-growth-") as folder:
        Path(folder).chmod(0o711)  # root's server runs as another user, which must be able to pass
        command = [sys.executable, "-c", _SERVER, str(Path(folder) / "data")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # our own code
            assert server.stdout is not None  # noqa: S101  # asked for above
            yield server.stdout.readline().strip()


async def grown(url: str, title: str, turn: Turn, runs: int) -> Growth:
    """Store so many turns in a database of their own, and return what each of them takes."""
    name = "growth_" + "".join(char for char in title if char.isalnum())
    server = Database.open(url, pool_size=1)
    async with server.raw() as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    await server.close()
    own_url = url.replace("/postgres?", f"/{name}?")
    await migrate.upgrade(own_url)
    database = Database.open(own_url, pool_size=1, command_timeout_s=60.0)
    try:
        empty = await _sizes(database)
        for number in range(runs):
            await turn(database, number)
        written = await _sizes(database)
        await _run(database, _LONG_AGO)
        await _run(database, _VACUUM)
        live = await _sizes(database)
        await Retention(database, RetentionPolicy()).prune()
        await _run(database, _VACUUM)
        compacted = await _sizes(database)
    finally:
        await database.close()
    return Growth(
        title=title,
        written=_per_run(written, empty, runs),
        live=_per_run(live, empty, runs),
        compacted=_per_run(compacted, empty, runs),
    )


async def _sizes(database: Database) -> Sizes:
    async with database.raw() as connection:
        return {
            table: await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table) for table in _TABLES
        }


async def _run(database: Database, statement: str) -> None:
    async with database.raw() as connection:
        await connection.execute(statement)


def _per_run(sizes: Sizes, empty: Sizes, runs: int) -> Mapping[str, float]:
    return {table: max(0, sizes[table] - empty[table]) / runs for table in _TABLES}


def table(growths: Sequence[Growth], runs: int) -> str:
    """Return the figures as Markdown; tables in which a run leaves nothing are left out."""
    used = [name for name in _TABLES if any(growth.written[name] for growth in growths)]
    header = "".join(f" {growth.title} |" for growth in growths)
    lines = [f"| bytes per run |{header}", f"|---|{'---:|' * len(growths)}"]
    for name in used:
        lines.append(f"| `{name}` |{''.join(_cell(growth, name) for growth in growths)}")
    lines.append(f"| **all tables** |{''.join(_total(growth) for growth in growths)}")
    return (
        f"{runs:,} runs of each kind, indexes included. Each cell: as it was written / without what dead rows take / a day "
        "later, when the log is compacted.\n\n" + "\n".join(lines)
    )


def _cell(growth: Growth, name: str) -> str:
    figures = (growth.written[name], growth.live[name], growth.compacted[name])
    return f" {' / '.join(f'{figure:,.0f}' for figure in figures)} |" if any(figures) else " – |"


def _total(growth: Growth) -> str:
    totals = (sum(sizes.values()) for sizes in (growth.written, growth.live, growth.compacted))
    return f" **{' / '.join(f'{total:,.0f}' for total in totals)}** |"


async def measure(url: str, runs: int) -> list[Growth]:
    return [await grown(url, title, turn, runs) for title, turn in TURNS.items()]


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="of each kind (default: %(default)s)")
    parser.add_argument("--dry", action="store_true", help="print only")
    arguments = parser.parse_args(given)
    with embedded_server() as url:
        section = table(asyncio.run(measure(url, arguments.runs)), arguments.runs)
    print(section)
    if not arguments.dry:
        write_section(Path("docs/retention.md"), section, name="growth")
    return 0


if __name__ == "__main__":
    sys.exit(main())
