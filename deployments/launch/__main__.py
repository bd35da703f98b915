"""`python -m deployments.launch`: serve, down, migrate, key, prune, erase, accept, export, bundle.

What goes wrong is one line on stderr and status 1.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from configs.section import SettingsError
from deployments.launch.console import Console
from deployments.launch.errors import one_line
from deployments.launch.options import REPOSITORY, Options
from services.errors import MainstayError
from services.security.permissions import Permission, Role


def main(arguments: Sequence[str], console: Console) -> int:
    """Run one command and return the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options, Options.from_environ(os.environ), console)
    except (MainstayError, SettingsError, FileExistsError) as error:
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
    _key_arguments(commands.add_parser("key", help="make an API key and print it once; or list, rotate, revoke"))
    prune = commands.add_parser("prune", help="let go of what is past its time (settings: retention)")
    prune.add_argument("--overlay", default="production", help="the file of configs/ to go by (default: %(default)s)")
    prune.add_argument(
        "--metrics-file",
        type=Path,
        help="write what was counted for Prometheus' node exporter to read (a name in .prom)",
    )
    erase = commands.add_parser("erase", help="erase a user from every table")
    erase.add_argument("--tenant", required=True, help="whose data it is")
    erase.add_argument("--user", required=True, help="who is to be erased")
    erase.add_argument(
        "--cancel", action="store_true", help="stop their runs that have not ended, which is refused else"
    )
    erase.add_argument("--wait-s", type=float, default=60.0, help="for runs to end (default: %(default)s)")
    accept = commands.add_parser("accept", help="end an alert: how answers are now is what they are measured by")
    accept.add_argument("alert", type=UUID, help="its id")
    export = commands.add_parser(
        "export", help="write a tenant's sampled and disliked turns as a data set for `make eval`"
    )
    export.add_argument("--tenant", required=True, help="whose turns they are")
    export.add_argument(
        "--out", type=Path, required=True, help="the file, which is not there yet; it holds users' words"
    )
    export.add_argument("--days", type=float, default=30.0, help="how old they may be (default: %(default)s)")
    export.add_argument("--disliked", action="store_true", help="only those that their user disliked")
    export.add_argument("--limit", type=int, default=200, help="the newest so many (default: %(default)s)")
    bundle = commands.add_parser("bundle", help="zip the code for runtime_env.working_dir")
    bundle.add_argument("--to", type=Path, default=REPOSITORY / "build", help="folder (default: build)")
    return parser


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", default="default", help="whose data it opens (default: %(default)s)")
    parser.add_argument("--user", help="who acts with it (default: local)")
    parser.add_argument("--role", choices=list(Role), help="what it may do (default: user)")
    parser.add_argument(
        "--scope", choices=list(Permission), action="append", default=[], help="this of what its role may; repeatable"
    )
    parser.add_argument("--days", type=float, help="how long it is accepted (default: until it is revoked)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="show the tenant's newest 100 keys")
    instead.add_argument("--rotate", type=UUID, metavar="ID", help="make a key in place of this one")
    instead.add_argument("--revoke", type=UUID, metavar="ID", help="have this key accepted no more")
    parser.add_argument("--grace-s", type=float, help="how long a rotated key goes on (default: 3600)")


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
            from deployments.launch import database, keys

            url, pepper = database.existing_url(options, os.environ), database.known_pepper(options, os.environ)
            asyncio.run(keys.keep(arguments, url, pepper, console))
        case "prune":
            from deployments.launch import database, retention
            from services.runs.prune import summary
            from services.telemetry.prometheus import PrometheusMeter

            policy, meter = retention.chosen_policy(options, arguments.overlay), PrometheusMeter()
            pruned = asyncio.run(retention.prune(database.existing_url(options, os.environ), policy, meter))
            if arguments.metrics_file is not None:
                meter.write(arguments.metrics_file)
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
        case "accept":
            from deployments.launch import alerts, database

            url = database.existing_url(options, os.environ)
            accepted = asyncio.run(alerts.accept(url, arguments.alert, options))
            console.say("Accepted." if accepted else f"There is no alert {arguments.alert} of a series of answers.")
        case "export":
            from deployments.launch import database
            from deployments.launch.export import export

            count = asyncio.run(
                export(
                    database.existing_url(options, os.environ),
                    arguments.out,
                    tenant_id=arguments.tenant,
                    days=arguments.days,
                    disliked_only=arguments.disliked,
                    limit=arguments.limit,
                )
            )
            console.say(
                f"{count} turns of tenant {arguments.tenant}. The file holds users' words: no erasure reaches it."
            )
            console.show(str(arguments.out))
        case "bundle":
            from deployments.launch.bundle import bundle

            path = bundle(arguments.to)
            console.say(f"{path.stat().st_size / 1e6:.2f} MB, for runtime_env.working_dir in serve_config.yaml:")
            console.show(str(path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Console()))
