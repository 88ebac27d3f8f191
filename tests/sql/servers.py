"""A real PostgreSQL and a real MariaDB, of Debian's packages, on ports of their own, for as long as the tests run."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tests.canary import secret

PASSWORD = secret(secrets.token_hex(8))
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
# Neither of them runs as root. Another user than the tests' own needs a folder that it may enter.
USER = "nobody" if os.getuid() == 0 else None


class Servers(NamedTuple):
    postgresql: sa.URL
    mariadb: sa.URL


class Database(NamedTuple):
    """An empty database of a test's own, and what its engines are made with."""

    url: sa.URL
    options: dict[str, str]


def tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    assert found, f"{name} is not there; bash .ci/databases installs it"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, command: Sequence[str], url: sa.URL, end: signal.Signals) -> Iterator[None]:
    """A server that runs, from when it answers until the block ends."""
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=USER,
            start_new_session=True,
        )
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with engine.connect():
                    break
            except OperationalError:
                assert server.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.05)
        yield
    finally:
        server.send_signal(end)
        server.wait(60)


def prepare(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, user=USER, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def start_postgresql(stack: ExitStack, folder: Path) -> sa.URL:
    (folder / "password").write_text(PASSWORD)
    data, port = str(folder / "data"), free_port()
    # A collation that orders keys otherwise than by their characters: no step may depend on that.
    collation = ("--locale-provider=icu", "--icu-locale=en")
    prepare(
        folder, tool("initdb"), "-D", data, "-U", "tests", "-A", "scram-sha-256", "--pwfile", str(folder / "password"),
        "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", *collation,
    )  # fmt: skip
    url = sa.URL.create("postgresql+psycopg", "tests", PASSWORD, "127.0.0.1", port, "postgres")
    fast = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "autovacuum=off")
    options = [word for each in fast for word in ("-c", each)]
    command = (tool("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), *options)
    # Killed outright, it would leave its shared memory behind.
    stack.enter_context(running(folder, command, url, signal.SIGINT))
    return url


def start_mariadb(stack: ExitStack, folder: Path) -> sa.URL:
    data, port = str(folder / "data"), free_port()
    prepare(
        folder, tool("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db",
        "--auth-root-authentication-method=normal",
    )  # fmt: skip
    (folder / "init.sql").write_text(
        f"CREATE USER tests@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO tests@'127.0.0.1';\n"
    )
    url = sa.URL.create("mariadb+pymysql", "tests", PASSWORD, "127.0.0.1", port, query={"charset": "utf8mb4"})
    command = (
        tool("mariadbd"), "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}",
        f"--socket={folder / 'socket'}", f"--init-file={folder / 'init.sql'}", "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=16M", "--skip-log-bin", "--performance-schema=off",
    )  # fmt: skip
    stack.enter_context(running(folder, command, url, signal.SIGKILL))  # nothing in it is to be kept
    return url


@contextmanager
def servers() -> Iterator[Servers]:
    """Both of them, started at the same time."""
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT")  # see tests/conftest.py
    folders = tempfile.TemporaryDirectory(prefix="databases-", dir=root, ignore_cleanup_errors=True)
    with folders as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)

        def start(name: str, begin: Callable[[ExitStack, Path], sa.URL]) -> sa.URL:
            mine = Path(folder, name)
            mine.mkdir(mode=0o700)
            if USER is not None:
                shutil.chown(mine, USER)
            return begin(stack, mine)

        with ThreadPoolExecutor() as threads:
            both = [threads.submit(start, "p", start_postgresql), threads.submit(start, "m", start_mariadb)]
        yield Servers(both[0].result(), both[1].result())


@contextmanager
def database(url: sa.URL) -> Iterator[Database]:
    """An empty database; on PostgreSQL a schema, which takes no time to make."""
    name = f"test_{secrets.token_hex(6)}"
    kind = "SCHEMA" if url.get_backend_name() == "postgresql" else "DATABASE"
    administration = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with administration.begin() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {name}")
    try:
        if kind == "SCHEMA":
            yield Database(url, {"options": f"-csearch_path={name}"})
        else:
            yield Database(url.set(database=name), {})
    finally:
        with administration.begin() as connection:
            connection.exec_driver_sql(f"DROP {kind} {name}" + (" CASCADE" if kind == "SCHEMA" else ""))
