"""fetch: what a model reads of a page, and of one that cannot be read."""

from dataclasses import dataclass

import pytest
from langchain_core.messages import HumanMessage

from graphs.build import build_tools, tool_breakers
from graphs.provenance import incoming, provenance_of
from graphs.tools import TOOLS
from graphs.tools.care import ToolCare
from graphs.tools.execution import ToolExecution
from graphs.tools.fetch import fetch
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError, InvalidRequest
from services.security.pages import Page, PageMoved, PageUnavailable
from tests.graphs.fakes import FewDocuments, answer_of, calls, resources, turn

URL = "https://example.com/"


@dataclass
class Web:
    """Gives one page, or fails in one way."""

    found: Page | Exception

    async def get(self, url: str) -> Page:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


async def read(found: Page | Exception) -> tuple[str, str]:
    tool = fetch(ToolResources(documents=FewDocuments(), pages=Web(found))).model_copy(update={"name": "probe"})
    message = await answer_of(tool, url=URL)
    return str(message.content), message.status


def page(body: bytes, media_type: str = "text/html", *, whole: bool = True) -> Page:
    return Page(url=URL, media_type=media_type, charset=None, body=body, whole=whole)


@pytest.mark.parametrize(
    ("found", "text", "status"),
    [
        (page(b"<title>T</title><p>Hi"), f"{URL}\nT\nHi", "success"),
        (page(b"[1]", "application/json"), f"{URL}\n[1]", "success"),
        (page(b"Hi", whole=False), f"{URL}\nHi\n[the page goes on: this is its beginning]", "success"),
        (page(b"<script>1</script>"), f"{URL}\n[there is no text on the page]", "success"),
        (page(b"\x89PNG", "image/png"), "It is no text: images, archives and the like cannot be read.", "error"),
        (PageUnavailable("Its host is not known."), "cannot be read. Its host is not known. Try another", "error"),
        (PageMoved("https://other.example/"), "moved to another site, https://other.example/ ,", "error"),
        (InvalidRequest("The URL must begin with https://."), "The URL must begin with https://.", "error"),
    ],
    ids=["html", "json", "cut", "empty", "image", "unavailable", "moved", "refused"],
)
async def test_what_a_model_reads(found: Page | Exception, text: str, status: str) -> None:
    """The address that was read and its text, or what is wrong and what to do about it."""
    content, given = await read(found)
    assert text in content
    assert given == status


async def test_a_page_comes_from_outside() -> None:
    """And so does what is said of one that cannot be read: a redirect's target is the server's own words."""
    execution = ToolExecution(build_tools(["fetch"], resources()), ToolCare())
    context = turn().context
    for url in (URL, "https://away.example/"):
        asked = [incoming(HumanMessage("Hello"), context.run), calls(("fetch", {"url": url}))]
        [message] = await execution.run(asked, context)
        assert provenance_of(message).tainted_by == ("tool:fetch",)


def test_fetching_is_egress_to_the_host_of_its_url() -> None:
    """Its address may hold anything. One host that is away opens no breaker for all others."""
    assert (TOOLS["fetch"].effect, TOOLS["fetch"].sinks, TOOLS["fetch"].returns) == (
        "egress",
        {"url": "url"},
        "untrusted",
    )
    assert "fetch" not in tool_breakers()


def test_without_a_web_the_tool_cannot_be_made() -> None:
    """An operator is told when the graph is built."""
    with pytest.raises(ConfigurationError, match="needs the web"):
        fetch(ToolResources(documents=FewDocuments()))
