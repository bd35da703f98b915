"""`python -m benchmarks.fault_proxy`: the proxy as a process, steered over HTTP."""

import argparse
import asyncio
import signal

from benchmarks.fault_proxy.control import Control
from benchmarks.fault_proxy.proxy import FaultProxy


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fault_proxy",
        description="A TCP proxy with faults. The control port takes GET /, PUT / and POST /cut, /reset, /restart.",
    )
    parser.add_argument(
        "--target",
        type=_address,
        required=True,
        metavar="HOST:PORT",
        help="HOST may be the folder of a Postgres socket",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="where clients connect to; 0 takes a free one (default)")
    parser.add_argument("--control-port", type=int, default=0, help="on loopback; 0 takes a free one (default)")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    """Until SIGINT or SIGTERM. Prints the address for clients, then the control's URL."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with FaultProxy(*arguments.target, host=arguments.host, port=arguments.port) as proxy:
        control = Control(proxy)
        server = await loop.create_server(control.connection, "127.0.0.1", arguments.control_port)
        print(f"fault proxy on {proxy.host}:{proxy.port}", flush=True)
        print(f"control on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await stopped.wait()
        server.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"HOST:PORT, not {text!r}")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(serve(parse_arguments()))
