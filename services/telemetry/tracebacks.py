"""An exception in the log: where it happened and of what kind it is, and in whose words only where the log may quote people.

A stranger's exception may repeat whatever it was given: pydantic's shows the input that it refuses. Ours do not.
"""

import traceback

from services.errors import MainstayError


def told(error: BaseException, *, words: bool) -> str:
    """Return an exception with those that it came of, the first one first. Without `words` only ours say what they say."""
    parts: list[str] = []
    for one in reversed(_chain(error)):
        parts += traceback.format_tb(one.__traceback__)
        said = f": {one}" if words or isinstance(one, MainstayError) else ""
        parts.append(f"{type(one).__module__}.{type(one).__qualname__}{said}\n")
        if isinstance(one, BaseExceptionGroup):
            parts += (told(each, words=words) for each in one.exceptions)
    return "".join(parts)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return chain
