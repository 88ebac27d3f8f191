"""`eventsource-upstash dev`, as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from eventsource_upstash.cli import main
from eventsource_upstash.cli.environment import write_variables
from eventsource_upstash.local.engine import Engine

NAMES = [
    "UPSTASH_REDIS_REST_URL",
    "UPSTASH_REDIS_REST_TOKEN",
    "QSTASH_URL",
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
]
KAFKA_NAMES = [
    "UPSTASH_KAFKA_REST_URL",
    "UPSTASH_KAFKA_REST_USERNAME",
    "UPSTASH_KAFKA_REST_PASSWORD",
    "UPSTASH_KAFKA_URL",
    "UPSTASH_KAFKA_USERNAME",
    "UPSTASH_KAFKA_PASSWORD",
    "KAFKA_REST_URL",
    "KAFKA_REST_USERNAME",
    "KAFKA_REST_PASSWORD",
    "UPSTASH_KAFKA_TOPIC",
    "KAFKA_TOPIC",
]
PORTS = ["--redis-port", "0", "--qstash-port", "0"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "eventsource_upstash.cli", *words]


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            self.printed.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        self.variables = dict(
            line.split("=", 1) for line in self.printed if line.split("=", 1)[0] in NAMES + KAFKA_NAMES
        )


@contextmanager
def running(*words: str) -> Iterator[Running]:
    with subprocess.Popen(
        command("dev", *PORTS, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_prints_what_to_copy_and_serves_it() -> None:
    with running() as dev:
        assert list(dev.variables) == NAMES
        assert "DEVELOPMENT ONLY" in dev.printed[0]
        # The vendor's own fixed credentials for development: see its page Local Development.
        assert dev.variables["QSTASH_CURRENT_SIGNING_KEY"] == "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"
        assert dev.variables["QSTASH_NEXT_SIGNING_KEY"] == "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs"
        url, token = dev.variables["UPSTASH_REDIS_REST_URL"], dev.variables["UPSTASH_REDIS_REST_TOKEN"]
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(url, json=["ECHO", "there"], headers=headers).json() == {"result": "there"}
        headers = {"Authorization": f"Bearer {dev.variables['QSTASH_TOKEN']}"}
        keys = httpx.get(f"{dev.variables['QSTASH_URL']}/v2/keys", headers=headers).json()
        assert keys["current"] == dev.variables["QSTASH_CURRENT_SIGNING_KEY"]


def test_kafka_is_served_if_wanted_and_ends_cleanly() -> None:
    with running("--kafka", "--kafka-port", "0", "--topic", "todo", "--topic", "orders:3") as dev:
        assert list(dev.variables) == NAMES + KAFKA_NAMES
        assert any("in memory" in line for line in dev.printed)
        assert dev.variables["UPSTASH_KAFKA_TOPIC"] == "todo"
        login = (dev.variables["UPSTASH_KAFKA_REST_USERNAME"], dev.variables["UPSTASH_KAFKA_REST_PASSWORD"])
        topics = httpx.get(f"{dev.variables['UPSTASH_KAFKA_REST_URL']}/topics", auth=login).json()
        assert topics == {"orders": 3, "todo": 1}
        login = (dev.variables["KAFKA_REST_USERNAME"], dev.variables["KAFKA_REST_PASSWORD"])
        assert httpx.get(f"{dev.variables['KAFKA_REST_URL']}/topics", auth=login).json() == ["orders", "todo"]
        dev.process.send_signal(signal.SIGINT)
        _, errors = dev.process.communicate()
        assert (dev.process.returncode, errors) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly(number: signal.Signals) -> None:
    with running() as dev:
        dev.process.send_signal(number)
        _, errors = dev.process.communicate()
        assert (dev.process.returncode, errors) == (0, "")


def test_writes_the_variables_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / ".env.local"
    file.write_text("# mine\nOTHER=1\nexport QSTASH_URL=old\nQSTASH_URL_OF_MINE=2\n\nLAST='a b'")
    file.chmod(0o640)
    with running("--env-file", str(file)) as dev:
        lines = file.read_text().splitlines()
        assert lines[:6] == [
            "# mine",
            "OTHER=1",
            f"export QSTASH_URL={dev.variables['QSTASH_URL']}",
            "QSTASH_URL_OF_MINE=2",
            "",
            "LAST='a b'",
        ]
        assert sorted(line.split("=")[0] for line in lines[6:]) == sorted(set(NAMES) - {"QSTASH_URL"})
        assert [line for line in dev.printed if "replaced" in line] == ["replaced another value of QSTASH_URL"]
        assert file.stat().st_mode & 0o777 == 0o640
        assert [path.name for path in tmp_path.iterdir()] == [".env.local"]


def test_new_file_of_variables_is_for_this_user_only(tmp_path: Path) -> None:
    file = tmp_path / "env"
    assert write_variables(file, {"A": "1"}) == []
    assert write_variables(file, {"A": "2", "B": "x=y"}) == ["A"]
    assert file.read_text() == "A=2\nB=x=y\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        ("A=1", "A=2", ["A"]),
        ("export A=1", "export A=2", ["A"]),
        ("  export   A = 1", "  export   A=2", ["A"]),
        ("A=2", "A=2", []),
        ("A='2'", "A=2", []),
        ('A="1"', "A=2", ["A"]),
        ("A=", "A=2", []),
        ("A=1\nA=3", "A=2", ["A"]),
        ("# A=1", "# A=1\nA=2", []),
    ],
)
def test_which_values_were_replaced(tmp_path: Path, before: str, after: str, replaced: list[str]) -> None:
    file = tmp_path / "env"
    file.write_text(before)
    assert write_variables(file, {"A": "2"}) == replaced
    assert file.read_text() == f"{after}\n"


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    result = subprocess.run(
        command("dev", *PORTS, "--env-file", str(tmp_path / "no" / "such" / "file")),
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("option", ["--redis-port", "--qstash-port", "--kafka-port"])
def test_port_is_taken(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            command("dev", *PORTS, "--kafka", option, port), check=False, capture_output=True, text=True
        )
    assert result.returncode == 1
    assert f"port {port} is taken. Choose another with {option} PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_given_redis_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"redis://:hidden@127.0.0.1:{free.getsockname()[1]}"
        result = subprocess.run(command("dev", *PORTS, "--redis-url", url), check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "no Redis or Valkey answers" in result.stderr
    assert "hidden" not in result.stderr
    assert "Traceback" not in result.stderr


def test_given_redis_does_not_let_us_in() -> None:
    engine = Engine()
    engine.start()
    try:
        url = engine.url.replace("unix://", "unix://nobody:hidden@")
        result = subprocess.run(command("dev", *PORTS, "--redis-url", url), check=False, capture_output=True, text=True)
    finally:
        engine.stop()
    assert result.returncode == 1
    assert "does not let us in" in result.stderr
    assert "hidden" not in result.stderr


def test_extra_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['aiohttp'] = None; from eventsource_upstash.cli import main; sys.exit(main(['dev']))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "pip install 'eventsource-upstash[local]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_mapped_destination_is_delivered_locally_and_signed_for_the_public_one() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        local = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running("--map", f"https://app.example.com={local}") as dev:
            headers = {"Authorization": f"Bearer {dev.variables['QSTASH_TOKEN']}"}
            url = f"{dev.variables['QSTASH_URL']}/v2/publish/https://app.example.com/hook"
            assert httpx.post(url, headers=headers, content=b"hello").status_code in (200, 201)
            connection, _ = listener.accept()
            with connection:
                request = connection.recv(65536).decode("latin-1")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert request.startswith("POST /hook ")
    assert "upstash-signature:" in request.lower()


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("dev", "--redis-port", "99999"),
        ("dev", "--redis-port", "x"),
        ("dev", "--map", "nonsense"),
        ("dev", "--data", "d", "--redis-url", "redis://127.0.0.1"),
        ("dev", "--topic", "todo"),
        ("dev", "--kafka-port", "1"),
        ("dev", "--kafka", "nonsense"),
        ("dev", "--kafka", "--topic", "to do"),
        ("dev", "--kafka", "--topic", "todo:0"),
    ],
)
def test_wrong_words(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "nonsense", "redis://127.0.0.1:6379/x", "redis://h:port"])
def test_malformed_url_of_redis(url: str) -> None:
    result = subprocess.run(command("dev", *PORTS, "--redis-url", url), check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
