"""What a tool declares of itself: what it does, to whom, whether it may be done again, and whose words it returns.

The registry holds the declarations (`ToolSpec`), and each tool carries its own as a mark, so that whatever calls it knows. A
tool without one is taken for the worst: what it does cannot be undone, and what it returns comes from outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from langchain_core.tools import BaseTool

from services.errors import ConfigurationError

Effect = Literal["undeclared", "read", "write", "egress", "irreversible"]
"""`read` changes nothing. `write` changes what can be changed back. `egress` lets data leave, to somebody whom an argument
names. `irreversible` cannot be taken back, and what is undeclared counts as that. Both are guarded alike, so either will do for
a mail, which is both."""

Sink = Literal["url", "recipient", "path"]
"""What an argument names. `url`: its host is what counts. `recipient`: an address, a handle, an account. `path`: a file, or any
other thing that is acted on, by its name or its id."""

Returns = Literal["trusted", "untrusted"]
"""Whose words a result is. `trusted`: the operator's or the user's own, such as a sum or the time. `untrusted`: anybody's, such
as a web page, a mail, a document of somebody else."""

Repeat = Literal["freely", "idempotent", "once"]
"""What becomes of a call whose replica was lost. `freely`: it is made again. `idempotent`: it goes by the ledger, and is made
again with the same `idempotency_key()`. `once`: it goes by the ledger, and is not made again unless somebody knows that it had
no effect."""

_DECLARATION = "mainstay_declaration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """`sinks` are the arguments that name a target, as models know them. `network` says that its calls leave the process, so
    that others' failures are its own: it gets a circuit breaker.

    A tool that does more than read has to say whether it may be done again: without that it raises ConfigurationError.
    """

    effect: Effect = "undeclared"
    sinks: Mapping[str, Sink] = field(default_factory=dict)
    returns: Returns = "untrusted"
    repeat: Repeat | None = None
    network: bool = False

    def __post_init__(self) -> None:
        if self.effect in ("write", "egress", "irreversible") and self.repeat is None:
            raise ConfigurationError(
                f"A tool with the effect {self.effect!r} has to declare its `repeat`.", param="tools"
            )

    @property
    def guarded(self) -> bool:
        """Whether its effect is one that a tainted turn may not have unasked."""
        return self.effect not in ("read", "write")

    @property
    def ledgered(self) -> bool:
        """Whether its calls go by the ledger."""
        return self.repeat in ("idempotent", "once")


UNDECLARED = Declaration()


def declared(tool: BaseTool, declaration: Declaration) -> BaseTool:
    """Return the tool with its declaration marked on it.

    Raises ConfigurationError for a sink that is none of its arguments: a target nobody looks at would be guarded by nothing.
    """
    for name in declaration.sinks:
        if name not in tool.args:
            raise ConfigurationError(f"The tool {tool.name!r} has no argument {name!r}.", param="tools")
    return tool.model_copy(update={"metadata": {**(tool.metadata or {}), _DECLARATION: declaration}})


def declaration_of(tool: BaseTool) -> Declaration:
    """Return what was marked on the tool, or what counts where nothing was."""
    found = (tool.metadata or {}).get(_DECLARATION)
    return found if isinstance(found, Declaration) else UNDECLARED
