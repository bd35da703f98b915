"""`python -m benchmarks.upstream`: the simulated upstream as a process."""

import argparse
import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import orjson
import uvloop

from benchmarks.upstream.certificates import CERTIFICATES
from benchmarks.upstream.directive import Directive
from benchmarks.upstream.faults import FAULTS, fault_of
from benchmarks.upstream.schedule import Schedule
from benchmarks.upstream.server import Upstream


def parse_arguments() -> argparse.Namespace:
    """Ends the process with a message when an argument cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upstream",
        description="A simulated OpenAI-compatible upstream. While it runs: GET /_seen, PUT /_default, PUT /_schedule.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--port-file", type=Path, help="written, whole, once the port is open")
    parser.add_argument("--api-key", help="refuse every other bearer key")
    parser.add_argument("--models", default="simulated", help="comma-separated ids for GET /v1/models")
    parser.add_argument("--remember", type=int, default=2000, help="requests kept for GET /_seen")
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME", help="break every request without a directive")
    parser.add_argument(
        "--directive", type=_directive, default=Directive(), metavar="JSON", help='e.g. {"tokens": 64, "token_s": 0.02}'
    )
    parser.add_argument("--schedule", type=_schedule, metavar="FILE", help="JSON: phases of faults, and when")
    parser.add_argument("--tls", choices=CERTIFICATES, help="speak TLS with such a certificate")
    parser.add_argument("--list-faults", action="store_true", help="print the table of faults and end")
    return parser.parse_args()


def table() -> str:
    """Every fault in a line, those without an end marked."""
    width = max(map(len, FAULTS))
    return "\n".join(
        f"{name:<{width}}  {'endless' if fault.endless else '':<7}  {fault.says}" for name, fault in FAULTS.items()
    )


async def serve(arguments: argparse.Namespace) -> None:
    """Until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    upstream = Upstream(
        default=replace(arguments.directive, fault=arguments.fault) if arguments.fault else arguments.directive,
        schedule=arguments.schedule,
        tls=arguments.tls,
        host=arguments.host,
        port=arguments.port,
        api_key=arguments.api_key,
        models=tuple(arguments.models.split(",")),
        remember=arguments.remember,
    )
    async with upstream:
        if arguments.port_file is not None:
            partial = arguments.port_file.with_suffix(f".{os.getpid()}")
            partial.write_text(str(upstream.port))
            partial.replace(arguments.port_file)
        print(f"simulated upstream on {upstream.url}", flush=True)
        if arguments.tls is not None:
            print(f"its certificate authority: {upstream.ca_file}", flush=True)
        await stopped.wait()


def main() -> None:
    arguments = parse_arguments()
    if arguments.list_faults:
        print(table())
    else:
        uvloop.run(serve(arguments))


def _directive(text: str) -> Directive:
    try:
        directive = Directive.from_json(orjson.loads(text))
        fault_of(directive)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    return directive


def _schedule(name: str) -> Schedule:
    try:
        return Schedule.from_json(orjson.loads(Path(name).read_bytes()))
    except (OSError, ValueError) as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


if __name__ == "__main__":
    main()
