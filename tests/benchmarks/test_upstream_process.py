"""The simulated upstream as a process of its own: `python -m benchmarks.upstream`."""

import asyncio
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson

from benchmarks.upstream import FAULTS, Directive
from tests.benchmarks.conftest import chat

COMMAND = (sys.executable, "-m", "benchmarks.upstream")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """The process, with its output; SIGINT ends it in order."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def last_word(output: asyncio.StreamReader) -> str:
    return (await output.readline()).decode().split()[-1]


async def test_it_reports_over_http(tmp_path: Path) -> None:
    """It writes its port, long-polls for a hang-up, says who closed the connection, and ends on SIGINT."""
    port_file = tmp_path / "port"
    async with running("--port-file", str(port_file)) as output:
        url = (await last_word(output)).removesuffix("/v1")
        assert url == f"http://127.0.0.1:{port_file.read_text()}"
        await assert_reports(url)


async def assert_reports(url: str) -> None:
    question = Directive(fault="stall").in_message()
    async with httpx.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/v1/chat/completions", json=chat(question)) as stream:
            await anext(stream.aiter_bytes())
            waiting = asyncio.create_task(client.get("/_seen", params={"closed": 1, "open": 0, "connected": 1}))
        report = (await waiting).json()
        assert (report["client_closed"], report["open"]) == (1, 0)
        assert report["requests"][0]["outcome"] == "client_closed"
        assert report["requests"][0]["bytes_written"] > 0
        assert [connection["closed_by"] for connection in report["connections"]] == ["client", None]
        assert (await client.get("/_seen", params={"closed": 2, "timeout_s": 0.01})).status_code == 408
        await client.delete("/_seen")
        assert (await client.get("/_seen")).json()["received"] == 0


async def test_faults_and_schedules_by_argument(tmp_path: Path) -> None:
    """The schedule goes first, then `--fault` breaks what `--directive` describes."""
    schedule = tmp_path / "schedule.json"
    schedule.write_bytes(orjson.dumps([{"for_requests": 1, "directive": {"fault": "status_502"}}]))
    arguments = ("--schedule", str(schedule), "--directive", '{"retry_after_s": 7}', "--fault", "status_429")
    async with running(*arguments) as output, httpx.AsyncClient(base_url=await last_word(output)) as client:
        answers = [await client.post("/chat/completions", json=chat("hi")) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [502, 429]
        assert answers[1].headers["retry-after"] == "7"


async def test_tls_by_argument() -> None:
    """The second line says where the authority's certificate is."""
    async with running("--tls", "valid") as output:
        url, ca_file = await last_word(output), await last_word(output)
        async with httpx.AsyncClient(base_url=url, verify=ssl.create_default_context(cafile=ca_file)) as client:
            assert (await client.get("/models")).status_code == 200


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_table_of_faults() -> None:
    """One line per fault, with what it does and whether it ever ends."""
    printed = run("--list-faults")
    lines = printed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    assert all(fault.says in line for fault, line in zip(FAULTS.values(), lines, strict=True))
    assert {line.split()[0] for line in lines if line.split()[1] == "endless"} == {
        name for name, fault in FAULTS.items() if fault.endless
    }


def test_mistakes_are_explained(tmp_path: Path) -> None:
    """An unreadable argument ends the process with what is wrong with it."""
    schedule = tmp_path / "schedule.json"
    schedule.write_text('[{"for_s": 0}]')
    for arguments, problem in (
        (("--fault", "boredom"), "invalid choice: 'boredom'"),
        (("--schedule", str(schedule)), "phase 1: for_s is a number of seconds above 0, not 0"),
        (("--schedule", str(tmp_path / "none")), "No such file"),
        (("--directive", '{"token": 1}'), "unknown in a directive: token"),
    ):
        ended = run(*arguments)
        assert ended.returncode == 2
        assert problem in ended.stderr
