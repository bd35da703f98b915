"""A fleet of one replica per deployment: one that started during a window would cost more than what is measured in it."""

from benchmarks.serve_api import ServeApi, with_replicas


async def fix_fleet(api: ServeApi) -> None:
    """Have Serve start no more replicas than there are. Raises httpx.HTTPError."""
    config = await api.config()
    for deployment in config["deployments"]:
        config = with_replicas(config, deployment["name"], 1)
    await api.deploy(config)
