"""`eventsource-upstash copy`: its words, its exit statuses, its two environments."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventsource_upstash import Copying, SQLite, UpstashRedis
from eventsource_upstash.cli import main
from eventsource_upstash.cli.environment import read_variables
from eventsource_upstash.cli.telling import Bar, duration
from eventsource_upstash.local import LocalUpstash
from tests.copying.support import HISTORY, fill, rows_of, written


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SQLite:
    """A log in a file, `a.db` in the current folder."""
    monkeypatch.chdir(tmp_path)
    source = SQLite("a.db")
    fill(source)
    source.close()
    return source


@pytest.fixture
def elsewhere(upstash: LocalUpstash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of an Upstash database, in a file and nowhere else."""
    for name in upstash.environment():
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "elsewhere.env"
    path.write_text(
        f"# of the other account\nexport UPSTASH_REDIS_REST_URL={upstash.redis_url}\n"
        f'UPSTASH_REDIS_REST_TOKEN="{upstash.redis_token}"\n'
    )
    return path


def test_a_copy(file: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "sqlite:a.db", "sqlite:b.db"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(
        r"copied 12 events in \d+ s; none was there\ncompared: both hold 12 events, digest [0-9a-f]{32}\n", out
    )
    assert "100% copying, 12 of 12 events" in err
    assert rows_of(SQLite("b.db")) == rows_of(file)
    assert main(["copy", "sqlite:a.db", "sqlite:b.db", "--no-verify"]) == 0
    assert re.fullmatch(r"copied 0 events in \d+ s; 12 were there already\n", capsys.readouterr().out)


def test_between_two_environments(
    file: SQLite, elsewhere: Path, upstash: LocalUpstash, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"command-{os.getpid()}"
    assert main(["copy", "sqlite:a.db", f"upstash:{name}", "--to-env", str(elsewhere)]) == 0
    assert rows_of(UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=name)) == rows_of(file)
    assert main(["copy", f"upstash:{name}", "sqlite:c.db", "--from-env", str(elsewhere)]) == 0
    assert rows_of(SQLite("c.db")) == rows_of(file)
    capsys.readouterr()
    # What a file does not hold is not taken from the environment: half of each would be a third database.
    elsewhere.write_text("")
    os.environ.update(UPSTASH_REDIS_REST_URL=upstash.redis_url)
    try:
        assert main(["copy", f"upstash:{name}", "sqlite:d.db", "--from-env", str(elsewhere)]) == 1
    finally:
        del os.environ["UPSTASH_REDIS_REST_URL"]
    assert "UPSTASH_REDIS_REST_URL is not set" in capsys.readouterr().err


def test_no_secret_is_told(
    file: SQLite, elsewhere: Path, upstash: LocalUpstash, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere.write_text(f"UPSTASH_REDIS_REST_URL={upstash.redis_url}\nUPSTASH_REDIS_REST_TOKEN=wrong-and-secret\n")
    assert main(["copy", "sqlite:a.db", "upstash:todo", "--to-env", str(elsewhere)]) == 1
    assert "wrong-and-secret" not in "".join(capsys.readouterr())


def test_verify_only(file: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
    assert file.path == "a.db"
    other = SQLite("b.db")
    fill(other)
    assert main(["copy", "sqlite:a.db", "sqlite:b.db", "--verify"]) == 0
    assert re.fullmatch(r"both hold 12 events, digest [0-9a-f]{32}\n", capsys.readouterr().out)
    fill(other, [written("own", b"{}", number=7)])
    assert main(["copy", "sqlite:a.db", "sqlite:b.db", "--verify"]) == 1
    err = capsys.readouterr().err
    assert re.search(
        r"eventsource-upstash: they differ: the destination holds .*\n- FROM holds 12 events, .*\n- TO holds 13 ", err
    )


def test_dry_run(file: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
    assert file.path == "a.db"
    assert main(["copy", "sqlite:a.db", "sqlite:b.db", "--dry-run"]) == 0
    assert capsys.readouterr().out == "would copy 12 events; none was there. Nothing was written\n"
    assert not Path("b.db").exists()
    fill(SQLite("b.db"), HISTORY[:2])
    assert main(["copy", "sqlite:a.db", "sqlite:b.db", "--dry-run"]) == 0
    assert capsys.readouterr().out == "would copy 8 events; 4 were there already. Nothing was written\n"


def test_what_cannot_be_is_told(file: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
    assert file.path == "a.db"
    fill(SQLite("own.db"), [written("own", b"{}", number=7)])
    Path("no.env").write_bytes(b"\xff")
    for words, told in (
        (["sqlite:none.db", "sqlite:b.db"], "FROM: there is no file 'none.db'"),
        (["sqlite:a.db", "sqlite:b.db", "--verify"], "TO: there is no file 'b.db'"),
        (["memory:", "sqlite:b.db"], "FROM: memory: is a log within one process"),
        (["sqlite:a.db", "ftp://h/b"], "TO, read from the URL and the environment: connect: no backend"),
        (["sqlite:a.db", "upstash:", "--to-env", "none.env"], "TO: none.env cannot be read: No such file"),
        (["sqlite:a.db", "upstash:", "--to-env", "no.env"], "TO: no.env cannot be read: it is no text"),
        (["sqlite:a.db", "sqlite:own.db"], "Choose another file, namespace or topic"),
    ):
        assert main(["copy", *words]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert f"eventsource-upstash: {told}" in err or told in err
        assert "Traceback" not in err
    assert not Path("none.db").exists()
    assert not Path("b.db").exists()
    for wrong in (["sqlite:a.db"], ["sqlite:a.db", "sqlite:b.db", "--verify", "--dry-run"]):
        with pytest.raises(SystemExit, match="2"):
            main(["copy", *wrong])


def test_ctrl_c_ends_the_following(file: SQLite) -> None:
    words = [sys.executable, "-m", "eventsource_upstash.cli", "copy", "sqlite:a.db", "sqlite:b.db", "--follow"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while "100% copying, 12 of 12" not in running.stderr.readline():
            assert running.poll() is None
        fill(file, [written("later", b"{}", number=7)])
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate()
    assert running.returncode == 0
    assert "copied 13 events" in out
    assert "both hold 13 events" in out
    assert rows_of(SQLite("b.db")) == rows_of(file)


def test_ctrl_c_interrupts_and_what_is_there_stays(file: SQLite) -> None:
    program = (
        "import os, signal, sys\nfrom eventsource_upstash.cli import copying, main\n"
        "from tests.copying.support import Counting\nmade = copying._backend\n"
        "def kill(): os.kill(os.getpid(), signal.SIGINT)\n"
        "copying._backend = lambda url, *more: (\n"
        "    Counting(made(url, *more), 'log.append', 4, kill) if url == 'sqlite:b.db' else made(url, *more))\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(main(['copy', 'sqlite:a.db', 'sqlite:b.db']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 130
    assert "interrupted. What is copied stays; the same command goes on from there" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert rows_of(SQLite("b.db")) == rows_of(file)[:6]
    assert main(["copy", "sqlite:a.db", "sqlite:b.db"]) == 0
    assert rows_of(SQLite("b.db")) == rows_of(file)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


AT = (
    Copying("looking", 500, 500, 0.5),
    Copying("copying", 0, 4_000, 0.0),
    Copying("copying", 1_000, 4_000, 30.0),
    Copying("copying", 4_000, 4_000, 90.0),
)


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    bar = Bar(stream)
    bar.close()
    for at in AT:
        bar(at)
    bar.close()
    assert stream.getvalue() == (
        "\r[########################] 100% looking, 500 of 500 events, 1,000/s\x1b[K\n"
        "\r[........................]   0% copying, 0 of 4,000 events\x1b[K"
        "\r[######..................]  25% copying, 1,000 of 4,000 events, 33/s, 1 min 30 s left\x1b[K"
        "\r[########################] 100% copying, 4,000 of 4,000 events, 44/s\x1b[K\n"
    )


def test_lines_elsewhere() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    for at in AT:
        bar(at)
    bar.close()
    assert stream.getvalue().splitlines() == [
        "100% looking, 500 of 500 events, 1,000/s",
        "  0% copying, 0 of 4,000 events",
        "100% copying, 4,000 of 4,000 events, 44/s",
    ], "the one between them came too soon"


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 60, 3_599, 3_600, 90_060)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "25 h 1 min",
    ]


def test_environment_files(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# A=0\nA=1\n export B = 'two words' \nC=\"\"\nnothing\nD=a=b\nA=2\n")
    assert read_variables(path) == {"A": "2", "B": "two words", "C": "", "D": "a=b"}
