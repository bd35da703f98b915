"""The settings of tools."""

from pydantic import Field, IPvAnyNetwork

from configs.section import Port, Section


class FetchSettings(Section):
    """What the tool `fetch` may ask for."""

    allow_hosts: tuple[str, ...] = Field(default=(), description="unless empty, no other; *.example.com: all below it")
    allow_ports: tuple[Port, ...] = (443,)
    allow_http: bool = Field(
        default=False, description="whether pages may be http as well; add the port to allow_ports"
    )
    allow_private: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks such as 10.20.0.0/16 that may be asked though they are not public"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=20, description="for one page with its redirects")
    max_bytes: int = Field(default=1_048_576, ge=1_024, le=8 * 1_048_576, description="of one page")
    max_redirects: int = Field(default=5, ge=0, le=20, description="on the page's own site; to others none is followed")
    max_connections: int = Field(default=32, ge=1, le=1_000, description="pages at once, per replica")


class ToolSettings(Section):
    fetch: FetchSettings = FetchSettings()
