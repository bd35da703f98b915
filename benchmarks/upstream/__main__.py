"""`python -m benchmarks.upstream`: the simulated upstream as a process."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

import uvloop

from benchmarks.upstream.server import Upstream


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upstream", description="A simulated OpenAI-compatible upstream."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--port-file", type=Path, help="written, whole, once the port is open")
    parser.add_argument("--api-key", help="refuse every other bearer key")
    parser.add_argument("--models", default="simulated", help="comma-separated ids for GET /v1/models")
    parser.add_argument("--remember", type=int, default=2000, help="requests kept for GET /_seen")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    """Until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    upstream = Upstream(
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
        await stopped.wait()


def main() -> None:
    uvloop.run(serve(parse_arguments()))


if __name__ == "__main__":
    main()
