"""The files of the guide to deploying are complete: copied from the page, they run and are notified."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from eventsource_upstash import Refused
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.qstash.settings import Settings

from .snippets import DOCS, ROOT, blocks, shown

PAGE = DOCS / "guides" / "deploy.md"
TAB = re.compile(r'^=== "(?P<name>.+)"$', re.MULTILINE)
TITLE = re.compile(r'^ +```\w+ title="(?P<name>[\w.]+)"$')
PUBLIC = "https://todo.example.com"


def files(tab: str) -> dict[str, str]:
    """The files of one tab of the page, by name."""
    lines = PAGE.read_text("utf-8").splitlines()
    found: dict[str, str] = {}
    inside = False
    for number, line in enumerate(lines):
        if (heading := TAB.match(line)) or (line and not line.startswith(" ")):
            inside = bool(heading) and heading["name"] == tab
        if inside and (title := TITLE.match(line)):
            end = next(later for later in range(number + 1, len(lines)) if lines[later].strip() == "```")
            found[title["name"]] = textwrap.dedent("\n".join(lines[number + 1 : end]))
            code = [block for block in blocks(PAGE) if block.line == number + 1 and block.includes]
            for block in code:
                found[title["name"]] = shown(block)
    return found


def table() -> set[str]:
    """The variables in the page's table."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))


@pytest.fixture
def sites() -> dict[str, str]:
    return {}


@pytest.fixture
def cloud(sites: dict[str, str]) -> Iterator[LocalUpstash]:
    with LocalUpstash(qstash=Settings(mapping=sites, strict=True)) as running:
        yield running


def environment(cloud: LocalUpstash, names: set[str]) -> dict[str, str]:
    """What somebody has who sets these variables and no others."""
    own = {
        "EVENTSOURCE_NOTIFY_URL": f"{PUBLIC}/projections",
        "EVENTSOURCE_JOBS_URL": PUBLIC,
        "EVENTSOURCE_NAMESPACE": "todo",
    }
    given = {**cloud.environment(), **own}
    assert names <= set(given)
    return {name: given[name] for name in names}


@contextmanager
def served(folder: Path, command: str, variables: dict[str, str]) -> Iterator[str]:
    """Runs a command that serves with uvicorn, and gives its URL."""
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, **variables, "PORT": "0", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told: list[str] = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(told))
        yield found[1]
        process.terminate()
        process.stderr.read()


def smoke_test(url: str, cloud: LocalUpstash) -> None:
    """The page's smoke test, over HTTP."""
    commands = re.findall(r"^\$ curl (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 4
    assert [re.findall(r"YOUR-APP(\S+)", command)[0] for command in commands] == [
        "/tasks",
        "/status",
        "/tasks",
        "/projections",
    ]
    with httpx.Client(base_url=url, trust_env=False) as http:
        created = http.post("/tasks", json={"text": "Do the dishes"}, headers={"Idempotency-Key": "smoke-1"})
        assert created.status_code == 201
        cloud.run(cloud.qstash.idle())
        assert http.get("/status").json() == {"state": "current", "head": 1, "lag": 0}
        assert list(http.get("/tasks").json()) == [created.json()["id"]]
        assert http.post("/projections", content=b'{"position": 0}').status_code == 401


def test_the_container_is_complete(tmp_path: Path, cloud: LocalUpstash, sites: dict[str, str]) -> None:
    built = files("Container")
    assert set(built) == {"app.py", "requirements.txt", "Dockerfile"}
    copied = re.findall(r"^COPY (\S+) (\S+)$", built["Dockerfile"], re.MULTILINE)
    assert copied == [("vendor", "vendor"), ("requirements.txt", "."), ("app.py", ".")]
    (tmp_path / "app.py").write_text(built["app.py"])
    (command,) = re.findall(r"^CMD (.*)$", built["Dockerfile"], re.MULTILINE)
    shell, flag, script = json.loads(command)
    assert (shell, flag) == ("sh", "-c")
    script = script.replace("0.0.0.0", "127.0.0.1")  # nothing here is for the open network
    with served(tmp_path, script, environment(cloud, table())) as url:
        sites[PUBLIC] = url
        smoke_test(url, cloud)


def test_vercel_has_the_same_app_and_needs_no_more(tmp_path: Path) -> None:
    built = files("Vercel")
    assert set(built) == {"app.py", "requirements.txt", "vercel.json"}
    assert built["app.py"] == files("Container")["app.py"]
    assert set(files("Container")["requirements.txt"].split()) == {*built["requirements.txt"].split(), "uvicorn"}
    assert json.loads(built["vercel.json"])["regions"] == ["fra1"]


@pytest.mark.parametrize("tab", ["Vercel", "AWS Lambda", "Container"])
def test_the_library_is_the_wheel_that_the_page_has_built(tab: str) -> None:
    """No index has it yet, so each deployment brings the wheel of this version along."""
    version = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[0]
    wheel = f"./vendor/eventsource_upstash-{version}-py3-none-any.whl[upstash]"
    assert files(tab)["requirements.txt"].split()[0] == wheel
    assert "\n$ pip wheel --no-deps --wheel-dir vendor /path/to/clone\n" in PAGE.read_text("utf-8")


def test_a_doubt_ends_the_step_of_a_deployment(cloud: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> None:
    from docs.snippets.todo import registry

    (step,) = [shown(block) for block in blocks(PAGE) if "app.check()" in shown(block)]
    variables = environment(cloud, table())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exec(step, {"registry": registry})  # all is well
    monkeypatch.setenv("QSTASH_NEXT_SIGNING_KEY", "sig_of_before")
    with pytest.raises(SystemExit, match="the next signing key was rotated"):
        exec(step, {"registry": registry})
    monkeypatch.setenv("QSTASH_CURRENT_SIGNING_KEY", "sig_of_another_account")
    with pytest.raises(Refused, match="would be refused"):
        exec(step, {"registry": registry})


LAMBDA = """
import json, sys
from lambda_function import handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)), flush=True)
"""


def test_the_function_is_complete(tmp_path: Path, cloud: LocalUpstash) -> None:
    built = files("AWS Lambda")
    assert set(built) == {"lambda_function.py", "requirements.txt", "template.yaml"}
    module, _, name = re.findall(r"Handler: (\S+)", built["template.yaml"])[0].partition(".")
    assert (f"{module}.py", name) == ("lambda_function.py", "handler")
    names = set(re.findall(r"^ +([A-Z_]+): !Ref", built["template.yaml"], re.MULTILINE))
    assert names == table() - {"EVENTSOURCE_NAMESPACE", "EVENTSOURCE_JOBS_URL"}
    (tmp_path / "lambda_function.py").write_text(built["lambda_function.py"])

    with subprocess.Popen(
        [sys.executable, "-c", LAMBDA],
        cwd=tmp_path,
        env={**os.environ, **environment(cloud, names)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(method: str, path: str, body: str = "") -> tuple[int, str]:
            context = {"http": {"method": method}}
            headers = {"host": "todo.example.com", "idempotency-key": "smoke-1"}
            event = {"rawPath": path, "headers": headers, "requestContext": context, "body": body}
            process.stdin.write(json.dumps(event) + "\n")
            process.stdin.flush()
            reply = json.loads(process.stdout.readline())
            return reply["statusCode"], reply["body"]

        status, created = call("POST", "/tasks", '{"text": "Do the dishes"}')
        assert (status, json.loads(created)["position"]) == (201, 1)
        assert json.loads(call("GET", "/status")[1]) == {"state": "behind", "head": 1, "lag": 1}
        assert call("POST", "/projections", '{"position": 1}')[0] == 401
        process.stdin.close()


def test_the_variables_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from docs.snippets.todo import registry
    from eventsource_upstash import Misuse, connect

    for name in table():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Misuse) as refused:
        connect("upstash:", registry)
    assert set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", str(refused.value))) - {"QSTASH_TOPIC"} <= table()
