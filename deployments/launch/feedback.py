"""`make calibrate ARGS="feedback --tenant T"`: how far judges agree with the thumbs of a tenant's users.

For whoever has the database's password. What is printed and published are counts: no run, no user, no word of theirs.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from deployments.launch.console import Console
from deployments.launch.database import existing_url
from deployments.launch.errors import one_line
from deployments.launch.options import Options
from evaluation.calibration.__main__ import publish, publishing_arguments
from evaluation.calibration.record import Calibration
from evaluation.calibration.thumbs import from_thumbs
from services.errors import MainstayError
from services.storage import migrate
from services.storage.database import Database
from services.storage.ratings import RatingRepository


def main(given: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    """Measure, and return the exit status: 1 where there is no database, or nothing in it that was rated and judged."""
    asked = _parser().parse_args(given)
    try:
        found = asyncio.run(measure(existing_url(Options.from_environ(environ), environ), asked, datetime.now(UTC)))
        if not found:
            console.say(
                f"calibration: no run of tenant {asked.tenant} was both rated and judged in {asked.days:g} days."
            )
            return 1
        publish(found, f"By the thumbs of tenant {asked.tenant}, {found[0].measured_on}:", asked.write)
    except (MainstayError, OSError, ValueError) as failure:
        console.say(f"calibration: {one_line(str(failure), 1000)}")
        return 1
    return 0


async def measure(url: str, asked: argparse.Namespace, now: datetime) -> list[Calibration]:
    """Return what the database has. Raises SchemaMismatch and StoreUnavailable."""
    database = Database.open(url, pool_size=1, application_name="mainstay-calibrate")
    try:
        await migrate.require_head(database)
        ratings = RatingRepository(database, asked.tenant)
        since = now - timedelta(days=asked.days)
        rated = await ratings.scores(since, fair=not asked.all_judged, limit=asked.limit)
    finally:
        await database.close()
    return from_thumbs(rated, labelled_set=asked.name, measured_on=now.date().isoformat())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.launch.calibrate feedback",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tenant", required=True, help="whose users' thumbs they are")
    parser.add_argument("--days", type=float, default=90.0, help="how old a thumb may be (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=10_000, help="the newest so many thumbs (default: %(default)s)")
    parser.add_argument(
        "--all-judged",
        action="store_true",
        help="count also what was judged for being disliked, suspect, failed or long: more thumbs, with more of them down",
    )
    parser.add_argument(
        "--name", default="feedback", help="of the labelled set, which is shown beside scores (default: %(default)s)"
    )
    publishing_arguments(parser)
    return parser
