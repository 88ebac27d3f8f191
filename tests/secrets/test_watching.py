"""The plugin that looks for secrets sees them, wherever one shows: each of these leaks is caught, and named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import canary

ROOT = Path(__file__).resolve().parents[2]

LEAKS = {
    "printed": "print(TOKEN)",
    "printed_in_base64": "import base64; print(base64.b64encode(b'user:' + TOKEN.encode()))",
    "written_to_stderr": "import os; os.write(2, TOKEN.encode())",
    "read_by_the_test": "print(TOKEN); capsys.readouterr()",
    "logged": "logging.getLogger('eventsource_upstash.x').debug('with %s', TOKEN)",
    "logged_by_another": "logging.getLogger('other').warning('with %s', TOKEN)",
    "logged_with_its_error": """
        try:
            raise ValueError(TOKEN)
        except ValueError:
            logging.getLogger('eventsource_upstash.x').exception('failed')
    """,
    "in_an_error_of_the_library": "Misuse(TOKEN)",
    "in_an_error_that_is_expected": """
        with pytest.raises(ValueError):
            raise ValueError(TOKEN)
    """,
    "behind_an_error_that_is_expected": """
        with pytest.raises(KeyError):
            try:
                raise ValueError(TOKEN)
            except ValueError:
                raise KeyError from None
    """,
    "in_a_failure": "assert [TOKEN] == []",
    "in_a_warning": """
        warnings.simplefilter('default')
        warnings.warn(TOKEN)
    """,
    "in_an_answer": "Response(200, {}, TOKEN.encode())",
    "in_a_header": "Response(200, {'x': TOKEN}, b'')",
    "in_an_answer_of_a_server": "httpx.Response(404, content=TOKEN.encode()).read()",
    "printed_by_a_program": "subprocess.run([sys.executable, '-c', f'print({TOKEN!r})'], capture_output=True)",
    "of_a_person": "print(cipher.new_key().secret)",
    "of_the_local_upstash": "print(canary.LOCAL[0])",
}
FINE = {
    "nothing": "print('nothing')",
    "shown_on_purpose": "print(TOKEN)",
}
HEAD = """
import logging, subprocess, sys, warnings
import httpx, pytest
from eventsource_upstash import Misuse
from eventsource_upstash._flow import cipher
from eventsource_upstash.web import Response
from tests import canary

TOKEN = canary.secret("x")
"""


def written(name: str, body: str) -> str:
    mark = '@pytest.mark.shows_secrets("it is to")\n' if name == "shown_on_purpose" else ""
    arguments = "capsys" if "capsys" in body else ""
    lines = "\n".join("    " + line.removeprefix("        ") for line in body.strip("\n").splitlines())
    return f"\n{mark}def test_{name}({arguments}):\n{lines}\n"


@pytest.mark.shows_secrets("the output of the tests that leak is looked at here")
def test_every_leak_is_caught_and_named(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.watching import Watch\n"
        "def pytest_configure(config):\n"
        "    config.addinivalue_line('markers', 'shows_secrets(why)')\n"
        "    watch = Watch()\n    watch.watch_all()\n    config.pluginmanager.register(watch, 'watch')\n"
    )
    everything = {**LEAKS, **FINE}
    tests = "".join(written(name, body) for name, body in everything.items())
    (tmp_path / "test_leaks.py").write_text(HEAD + tests)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--disable-warnings",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = ("FAILED test_leaks.py::test_{} - a secret shows", "a secret shows in a warning of test_leaks.py::test_{}: ")
    caught = {name for name in everything if any(each.format(name) in done.stdout for each in told)}
    assert caught == set(LEAKS), done.stdout
    assert not canary.find(done.stdout), "what it says of them shows none"
