"""`python -m deployments.launch`: serve, down, migrate, key, prune, erase, bundle.

What goes wrong is one line on stderr and status 1.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.settings import SettingsError
from deployments.launch.console import Console
from deployments.launch.errors import one_line
from deployments.launch.options import REPOSITORY, Options
from services.errors import MainstayError


def main(arguments: Sequence[str], console: Console) -> int:
    """Run one command and return the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options, Options.from_environ(os.environ), console)
    except (MainstayError, SettingsError) as error:
        console.say(f"mainstay: {one_line(str(error), 1000)}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="start everything on this machine; Ctrl-C stops it")
    commands.add_parser("down", help="stop what `serve` started")
    commands.add_parser("migrate", help="bring the database at DATABASE_URL to this code's schema")
    key = commands.add_parser("key", help="make an API key and print it once")
    key.add_argument("--tenant", default="default", help="whose data it opens (default: %(default)s)")
    key.add_argument("--user", default="local", help="who acts with it (default: %(default)s)")
    prune = commands.add_parser("prune", help="let go of what is past its time (settings: retention)")
    prune.add_argument("--overlay", default="production", help="the file of configs/ to go by (default: %(default)s)")
    erase = commands.add_parser("erase", help="erase a user from every table")
    erase.add_argument("--tenant", required=True, help="whose data it is")
    erase.add_argument("--user", required=True, help="who is to be erased")
    erase.add_argument(
        "--cancel", action="store_true", help="stop their runs that have not ended, which is refused else"
    )
    erase.add_argument("--wait-s", type=float, default=60.0, help="for runs to end (default: %(default)s)")
    bundle = commands.add_parser("bundle", help="zip the code for runtime_env.working_dir")
    bundle.add_argument("--to", type=Path, default=REPOSITORY / "build", help="folder (default: build)")
    return parser


def _run(arguments: argparse.Namespace, options: Options, console: Console) -> None:
    """Each command imports what it needs: `down` is quick, and `serve` must set the environment before ray is imported."""
    match arguments.command:
        case "serve":
            from deployments.launch.serve import serve

            serve(options, os.environ, console)
        case "down":
            from deployments.launch.down import down

            down(options, console)
        case "migrate":
            from deployments.launch import database, documents
            from services.storage import migrate

            url = database.existing_url(options, os.environ)
            asyncio.run(migrate.upgrade(url))
            console.say(f"The database is at revision {migrate.head()}")
            if (folder := documents.folder_of(os.environ, embedded=False)) is not None:
                console.say(f"It holds {asyncio.run(documents.load(url, folder))} sections of {folder}")
        case "key":
            from deployments.launch import database

            url, pepper = database.existing_url(options, os.environ), database.known_pepper(options, os.environ)
            key = asyncio.run(database.add_key(url, pepper, tenant_id=arguments.tenant, user_id=arguments.user))
            console.say(f"A key for {arguments.user} of tenant {arguments.tenant}, shown this once:")
            console.show(key)
        case "prune":
            from deployments.launch import database, retention
            from services.runs.prune import summary

            policy = retention.chosen_policy(options, arguments.overlay)
            pruned = asyncio.run(retention.prune(database.existing_url(options, os.environ), policy))
            console.say(f"Pruned: {summary(pruned) or 'nothing is past its time'}")
        case "erase":
            from deployments.launch import database, retention
            from services.runs.prune import summary

            erased = asyncio.run(
                retention.erase(
                    database.existing_url(options, os.environ),
                    tenant_id=arguments.tenant,
                    user_id=arguments.user,
                    cancel=arguments.cancel,
                    wait_s=arguments.wait_s,
                )
            )
            console.say(
                f"Erased {arguments.user} of tenant {arguments.tenant}: {summary(erased) or 'there was nothing'}"
            )
        case "bundle":
            from deployments.launch.bundle import bundle

            path = bundle(arguments.to)
            console.say(f"{path.stat().st_size / 1e6:.2f} MB, for runtime_env.working_dir in serve_config.yaml:")
            console.show(str(path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Console()))
