"""Keep the replicas of the plain profile on 127.0.0.1: the one listener of Serve that no option moves.

Each replica opens a gRPC port for other deployments on all interfaces, written `[::]:0` in Serve 2.60. It asks for Ray's
token, but `make serve` promises to listen on this machine only. Ray runs `bind` in every worker before Serve is imported
there; it exchanges that one address and touches nothing else.
"""

from typing import Any

from ray._common import tls_utils

_EVERYWHERE = "[::]:0"


def bind() -> None:
    """Have `add_port_to_grpc_server` listen on loopback where it was asked to listen everywhere. For one process."""
    original: Any = tls_utils.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> Any:
        return original(server, "127.0.0.1:0" if address == _EVERYWHERE else address)

    tls_utils.add_port_to_grpc_server = on_loopback
