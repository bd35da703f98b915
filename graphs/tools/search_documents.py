"""search_documents: what the operator's documents say, so that an answer can be grounded in them."""

from langchain_core.tools import BaseTool, ToolException, tool

from graphs.tools.resources import ToolResources

MAX_PASSAGES = 8
MAX_QUERY_CHARS = 500


def search_documents(resources: ToolResources) -> BaseTool:
    @tool("search_documents")
    async def search(query: str, limit: int = 3) -> str:
        """Search the handbook (refunds, shipping, warranty, accounts and the like) and return the passages that fit best.

        `query` is a few keywords. `limit` is the number of passages, 1 to 8.
        """
        words = query.strip()[:MAX_QUERY_CHARS]
        if not words:
            raise ToolException("The query is empty. Write a few keywords.")
        passages = await resources.documents.search(words, max(1, min(limit, MAX_PASSAGES)))
        if not passages:
            return (
                f"No passage matches {words!r}. Try other keywords, or say that the documents do not hold the answer."
            )
        return "\n\n".join(
            f"[{number}] {passage.title} ({passage.path})\n{passage.text.strip()}"
            for number, passage in enumerate(passages, 1)
        )

    return search
