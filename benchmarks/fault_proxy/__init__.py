"""A TCP proxy that makes the network bad on cue, between any client and any server: Postgres, the simulated upstream.

    async with FaultProxy("127.0.0.1", 5432) as proxy:
        ... a client of 127.0.0.1:proxy.port ...
        proxy.set(latency_to_client_s=0.2, bytes_per_s=10_000)
        proxy.set(black_hole=True)
        proxy.reset()
        await proxy.traffic.until(lambda traffic: traffic.open == 0)
        await proxy.restart()

or, as a process of its own that is steered over HTTP: `python -m benchmarks.fault_proxy --target 127.0.0.1:5432`.
"""

from benchmarks.fault_proxy.proxy import FaultProxy
from benchmarks.fault_proxy.switches import Switches, Traffic

__all__ = ["FaultProxy", "Switches", "Traffic"]
