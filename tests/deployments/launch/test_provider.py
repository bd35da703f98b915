import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from configs.section import SettingsError
from configs.settings import load
from deployments.launch import machine, provider
from deployments.launch.errors import LaunchFailed


class _Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        accepted = self.headers["Authorization"] == "Bearer good"
        status = 401 if not accepted else 200 if self.path == "/v1/models" else 404
        body = json.dumps({"data": [{"id": "small"}, {"id": "large"}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _check(base_url: str, key: str = "good", model: str = "small", path: str = "/v1") -> list[str]:
    said: list[str] = []
    endpoint = provider.Provider(model=model, base_url=base_url + path, api_key=key)
    provider.check(endpoint, say=said.append, timeout_s=5)
    return said


def test_a_good_key_passes_in_silence(base_url: str) -> None:
    """A provider that lists our model leaves nothing to say."""
    assert _check(base_url) == []


def test_a_rejected_key_stops_the_start(base_url: str) -> None:
    """One line names the endpoint and both ways out, and not the key."""
    with pytest.raises(LaunchFailed, match=r"rejected by the provider.*HTTP 401.*unset OPENAI_API_KEY") as caught:
        _check(base_url, key="bad-secret")
    assert "bad-secret" not in str(caught.value)


def test_an_unreachable_provider_stops_the_start() -> None:
    """A wrong address is found before the cluster is started."""
    with pytest.raises(LaunchFailed, match=r"cannot be reached.*OPENAI_BASE_URL"):
        _check(f"http://127.0.0.1:{machine.free_port()}")


def test_an_unknown_model_is_said(base_url: str) -> None:
    """The list of models is a hint: an endpoint may serve what it does not list."""
    assert "does not list the model huge" in _check(base_url, model="huge")[0]


def test_an_endpoint_without_a_list_is_let_pass(base_url: str) -> None:
    """Not every compatible endpoint has the list."""
    assert "HTTP 404" in _check(base_url, path="/v2")[0]


def test_one_good_provider_is_enough(base_url: str) -> None:
    """The others are named and let be: what answers in their place is known to answer."""
    said: list[str] = []
    absent = provider.Provider(model="m", base_url=f"http://127.0.0.1:{machine.free_port()}", api_key="good")
    good = provider.Provider(model="small", base_url=f"{base_url}/v1", api_key="good")
    assert provider.first_answering([absent, good], say=said.append) is good
    assert "cannot be reached" in said[0]
    with pytest.raises(LaunchFailed, match="cannot be reached"):
        provider.first_answering([absent, absent], say=said.append)


def test_the_environment_names_the_endpoint() -> None:
    """Key, address and model come from the variables that the settings name."""
    settings = load(["openai"]).providers[0]
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x/v1/", "OPENAI_MODEL": "m"}
    assert provider.resolve(settings, environ) == provider.Provider(model="m", base_url="http://x/v1", api_key="k")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        provider.resolve(settings, {})
