"""The pages that the tool `fetch` may read, as the settings have them."""

from configs.settings import Settings
from services.security.addresses import AddressPolicy, guarded_session
from services.security.pages import FetchLimits, HttpPages


def open_pages(settings: Settings) -> HttpPages:
    """Open the session through which pages are read. Nothing is connected before the first one. Close it."""
    fetch = settings.tools.fetch
    policy = AddressPolicy(
        schemes=frozenset({"https", "http"} if fetch.allow_http else {"https"}),
        ports=frozenset(fetch.allow_ports),
        hosts=fetch.allow_hosts,
        allow_private=fetch.allow_private,
    )
    limits = FetchLimits(timeout_s=fetch.timeout_s, max_bytes=fetch.max_bytes, max_redirects=fetch.max_redirects)
    return HttpPages(guarded_session(policy, max_connections=fetch.max_connections), policy, limits)
