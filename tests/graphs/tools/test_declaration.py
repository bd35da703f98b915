"""What a tool declares, and what counts where it declares nothing."""

import pytest

from graphs.tools import TOOLS
from graphs.tools.declaration import UNDECLARED, Declaration, Effect, Repeat, declaration_of, declared
from graphs.tools.spec import ToolSpec
from services.errors import ConfigurationError
from tests.graphs.fakes import Stuck, acting, resources, tool_of


async def send(to: str, text: str = "") -> str:
    return f"{text} to {to}"


def test_a_tool_that_declares_nothing_is_taken_for_the_worst() -> None:
    """What it does is guarded as what cannot be undone, and what it returns is anybody's; it is called again as ever."""
    assert UNDECLARED.guarded
    assert UNDECLARED.returns == "untrusted"
    assert not UNDECLARED.ledgered
    assert declaration_of(TOOLS["clock"].factory(resources())) is UNDECLARED


@pytest.mark.parametrize(
    ("effect", "guarded"),
    [("read", False), ("write", False), ("egress", True), ("irreversible", True), ("undeclared", True)],
)
def test_what_a_tainted_turn_may_not_do_unasked(effect: Effect, guarded: bool) -> None:
    """Reading, and changing what can be changed back, needs nobody's leave."""
    assert Declaration(effect=effect, repeat="freely").guarded is guarded


@pytest.mark.parametrize(("repeat", "ledgered"), [("freely", False), ("idempotent", True), ("once", True)])
def test_what_goes_by_the_ledger(repeat: Repeat, ledgered: bool) -> None:
    """Whatever must not simply be done again."""
    assert Declaration(effect="egress", repeat=repeat).ledgered is ledgered


@pytest.mark.parametrize("effect", ["write", "egress", "irreversible"])
def test_what_does_more_than_read_says_whether_it_may_be_repeated(effect: Effect) -> None:
    """Nobody else could know, so leaving it out is refused where the tool is listed."""
    with pytest.raises(ConfigurationError, match="`repeat`"):
        ToolSpec(factory=lambda _: tool_of(send), effect=effect)


def test_a_declaration_is_a_mark_on_a_copy() -> None:
    """The tool itself stays what it was."""
    tool = tool_of(Stuck().wait)
    assert declaration_of(acting(tool, "once")).repeat == "once"
    assert declaration_of(tool).repeat is None


def test_a_sink_is_an_argument() -> None:
    """A misspelt one would leave the real target unguarded, so it is refused."""
    declared(tool_of(send), Declaration(effect="egress", repeat="once", sinks={"to": "recipient"}))
    with pytest.raises(ConfigurationError, match="no argument 'recipient'"):
        declared(tool_of(send), Declaration(effect="egress", repeat="once", sinks={"recipient": "recipient"}))


@pytest.mark.parametrize("name", TOOLS)
def test_every_listed_tool_declares_what_it_does(name: str) -> None:
    """The registry leaves nothing to the worst reading."""
    assert TOOLS[name].effect != "undeclared"
