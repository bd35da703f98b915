"""The embedded model itself: that it answers token by token, and that a tool call is one, not a text that looks like one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deployments.launch import machine, weights
from deployments.launch.errors import LaunchFailed
from deployments.launch.model_process import ModelProcess
from deployments.launch.model_server import ServerSettings

TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}


def _weights() -> weights.Weights:
    named = os.environ.get("MODEL_PATH")
    found = weights.cached(weights.cache_dir(os.environ))
    if named:
        return weights.Weights(name="named", path=Path(named))
    if found is None:
        pytest.skip("no embedded model in the cache: `make serve` fetches it, or name one in MODEL_PATH")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModelProcess, str]]:
    process = ModelProcess(weights=_weights(), folder=tmp_path_factory.mktemp("model"), environ=os.environ)
    process.start()
    try:
        yield process, process.wait()
    finally:
        process.stop()


def _stream(server: tuple[ModelProcess, str], **body: Any) -> list[dict[str, Any]]:
    process, base_url = server
    payload = {"model": "embedded", "stream": True, "temperature": 0, "max_tokens": 64, **body}
    headers = {"Authorization": f"Bearer {process.api_key}"}
    url = f"{base_url}/chat/completions"
    with httpx.stream("POST", url, json=payload, headers=headers, timeout=100, trust_env=False) as answer:
        assert answer.status_code == 200
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines]


@pytest.mark.embedded
def test_a_tool_call_streams_as_one(server: tuple[ModelProcess, str]) -> None:
    """The call arrives as deltas of one tool call, its arguments in several pieces that join to JSON."""
    choices = _stream(server, messages=[{"role": "user", "content": "what is 1234 * 5678?"}], tools=[TOOL])
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
    assert calls[0]["function"]["name"] == "calculator"
    assert len(calls) > 3
    assert "expression" in json.loads("".join(call["function"].get("arguments", "") for call in calls))
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert not any(choice["delta"].get("content") for choice in choices)


@pytest.mark.embedded
def test_a_plain_question_streams_text(server: tuple[ModelProcess, str]) -> None:
    """Without tools the answer is text, in several pieces."""
    choices = _stream(server, messages=[{"role": "user", "content": "Count from one to five in words."}])
    texts = [choice["delta"]["content"] for choice in choices if choice["delta"].get("content")]
    assert len(texts) > 2
    assert "three" in "".join(texts).lower()


@pytest.mark.embedded
def test_an_answer_follows_a_tool_result(server: tuple[ModelProcess, str]) -> None:
    """The template puts a call and its result into the next turn's prompt."""
    messages = [
        {"role": "system", "content": "Answer in one sentence using only the facts given."},
        {"role": "user", "content": "what is 1234 * 5678?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "calculator", "arguments": '{"expression": "1234 * 5678"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "7006652"},
    ]
    choices = _stream(server, messages=messages)
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    assert "7006652" in text.replace(",", "")


@pytest.mark.embedded
def test_the_key_is_needed_and_on_no_command_line(server: tuple[ModelProcess, str]) -> None:
    """Another process of this machine can see the arguments, but neither the key nor an answer."""
    process, base_url = server
    assert process.pid is not None
    assert process.api_key not in " ".join(psutil.Process(process.pid).cmdline())
    assert httpx.get(f"{base_url}/models", trust_env=False).status_code == 401
    listening = [c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_weights_that_cannot_be_loaded_are_one_line(tmp_path: Path) -> None:
    """A broken file ends the server while loading, and the error says where its log is."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    process = ModelProcess(
        weights=weights.Weights(name="broken", path=broken), folder=tmp_path / "run", environ=os.environ
    )
    process.start()
    try:
        with pytest.raises(LaunchFailed, match=r"the model server ended while loading.*model\.log"):
            process.wait()
    finally:
        process.stop()


def test_short_memory_is_found_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too little memory nothing is started, and the error names the ways out."""
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 100 << 20)
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    process = ModelProcess(weights=weights.Weights(name="m", path=model), folder=tmp_path, environ={})
    with pytest.raises(LaunchFailed, match=r"needs 400 MB of memory, 100 MB are free.*MODEL_PATH"):
        process.start()
    assert process.pid is None


def test_settings_survive_the_environment(tmp_path: Path) -> None:
    """What the launcher writes into the environment is what the server reads."""
    settings = ServerSettings(
        model_path=tmp_path / "m",
        api_key="k",
        ready_path=tmp_path / "r",
        port=9,
        threads=3,
        slots=4,
        context_tokens=512,
    )
    assert ServerSettings.from_environ(settings.to_environ()) == settings
