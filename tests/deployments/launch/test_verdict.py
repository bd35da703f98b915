import pytest

from deployments.launch.errors import LaunchFailed
from deployments.launch.verdict import Status, is_running, raised


def _unscheduled(free: str) -> str:
    return (
        "Deployment 'agent' in application 'mainstay' has 2 replicas that have taken more than 10s to be scheduled. "
        "This may be due to waiting for the cluster to auto-scale or for a runtime environment to be installed. "
        f'Resources required for each replica: {{"CPU": 0.5}}, total resources available: {free}. '
        "Use `ray status` for more details."
    )


def _status(state: str, message: str = "", **messages: str) -> Status:
    return Status(state=state, message=message, messages=messages)


def test_running_is_running() -> None:
    """Only Serve's own word for it counts."""
    assert is_running(_status("RUNNING"), logs="/logs")
    assert not is_running(_status("DEPLOYING", agent=""), logs="/logs")


def test_replicas_without_processors_are_named() -> None:
    """What is missing and what to change, instead of waiting for ever."""
    with pytest.raises(LaunchFailed, match=r'2 replicas of agent wait for processors.*"CPU": 0.5.*MAINSTAY_CPUS'):
        is_running(_status("DEPLOYING", agent=_unscheduled('{"CPU": 0.25}')), logs="/logs")


def test_replicas_without_any_processor_left_are_named() -> None:
    """A resource that is used up is not in Ray's list at all."""
    with pytest.raises(LaunchFailed, match="free are"):
        is_running(_status("DEPLOYING", agent=_unscheduled("{}")), logs="/logs")


def test_a_slow_start_is_waited_for() -> None:
    """With processors free, the same message only means that the machine is slow."""
    assert not is_running(_status("DEPLOYING", agent=_unscheduled('{"CPU": 1.5}')), logs="/logs")


@pytest.mark.parametrize("state", ["DEPLOY_FAILED", "UNHEALTHY"])
def test_a_failure_names_the_exception(state: str) -> None:
    """Of a traceback the user gets the last exception and where the rest is."""
    traceback = (
        "The deployment failed to start 3 times in a row. Error:\nray::ServeReplica.initialize() (pid=1, ip=127.0.0.1)\n"
        '  File "/x/app.py", line 3, in __init__\n    open_database()\n'
        "services.errors.SchemaMismatch: The database is at revision 1, this code needs revision 2: run `make migrate`."
    )
    with pytest.raises(LaunchFailed) as caught:
        is_running(_status(state, agent=traceback), logs="/logs")
    assert caught.value.cause.startswith("the application did not start (services.errors.SchemaMismatch: The database")
    assert "File" not in caught.value.cause
    assert caught.value.remedy == "see /logs"


def test_a_message_of_several_lines_is_kept_whole() -> None:
    """A ConfigurationError lists one wrong key per line; none is lost."""
    text = (
        "Traceback ...\nservices.errors.ConfigurationError: The settings do not hold:\n  graphs.x: no\n  runs.y: no\n"
    )
    assert raised(text) == "services.errors.ConfigurationError: The settings do not hold: graphs.x: no runs.y: no"
    assert raised("no traceback here") == "no traceback here"
