"""fetch: a page of the web, as text.

Asking for a page tells its host something: the address may hold anything that the agent knows. So it is egress, and in a turn
that has read something from outside only hosts are asked that the user or the operator has named (`graphs.tools.gate`).
"""

import asyncio

from langchain_core.tools import BaseTool, ToolException, tool

from graphs.tools.page_text import is_text, text_of_page
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError
from services.security.pages import PageMoved, PageUnavailable


def fetch(resources: ToolResources) -> BaseTool:
    """Make the tool. That one host is away says nothing of the others, so it has no breaker."""
    pages = resources.pages
    if pages is None:
        raise ConfigurationError("The tool `fetch` needs the web, and there is none.", param="tools")

    @tool("fetch")
    async def read_page(url: str) -> str:
        """Read a page of the web and return its text.

        `url` is the whole address, such as https://example.com/page. Scripts are not run, and nothing is sent but the address.
        """
        try:
            page = await pages.get(url)
        except PageUnavailable as problem:
            raise ToolException(f"The page cannot be read. {problem} Try another one, or go on without it.") from None
        except PageMoved as moved:
            raise ToolException(
                f"The page has moved to another site, {moved.url} , which was not asked. Fetch that if the user wants it."
            ) from None
        if not is_text(page):
            raise ToolException("It is no text: images, archives and the like cannot be read. Try another page.")
        text = await asyncio.to_thread(text_of_page, page)
        more = "" if page.whole else "\n[the page goes on: this is its beginning]"
        return f"{page.url}\n{text}{more}" if text.strip() else f"{page.url}\n[there is no text on the page]"

    return read_page
