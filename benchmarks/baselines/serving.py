"""What both baselines share: their command line, their socket, and saying that they are ready."""

import argparse
import socket


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--upstream", required=True, help="base URL of the model provider, ending in /v1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    return parser.parse_args()


def listening_socket(port: int) -> socket.socket:
    """Listens on loopback and prints the port, the first line that the process writes."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(2048)
    print(listening.getsockname()[1], flush=True)
    return listening


async def ready() -> None:
    """The second line: requests are served from here on."""
    print("ready", flush=True)
