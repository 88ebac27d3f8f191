"""The quota on Upstash: the schedule fires, its delivery is signed, the table is in step. QStash's clock is moved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from werkzeug.serving import make_server

from examples.quota.domain import Register
from examples.quota.http_api import create_app
from examples.quota.service import JOB, Quota
from tests.examples.cloud import Cloud
from tests.examples.quota.support import in_log, in_table


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture
def served(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Quota, str]]:
    """The quota, and where it is served."""
    backend = cloud.backend()
    for name, value in cloud.environment(backend).items():
        monkeypatch.setenv(name, value)
    quota = Quota(backend, f"sqlite:///{tmp_path}/table.db")
    server = make_server("127.0.0.1", 0, create_app(quota), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cloud.deliver(backend, f"http://127.0.0.1:{server.port}")
    try:
        yield quota, f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        quota.close()


def test_every_hour_qstash_has_the_table_brought_in_step(cloud: Cloud, served: tuple[Quota, str]) -> None:
    quota, _ = served
    for user in ("ada", "bob"):
        quota.execute(user, Register(user))
        quota.call(user, "/v1/search", 7)
    cloud.settle()
    assert in_table(quota) == {}
    cloud.wait(3600)
    assert in_table(quota) == in_log(quota) == {"ada": 7, "bob": 7}
    quota.call("ada", "/v1/search", 1)
    cloud.wait(3600)
    assert in_table(quota) == in_log(quota) == {"ada": 8, "bob": 7}


def test_who_is_not_qstash_cannot_call_the_job(cloud: Cloud, served: tuple[Quota, str]) -> None:
    quota, url = served
    quota.execute("ada", Register("ada"))
    for headers in ({}, {"upstash-signature": "x.y.z"}, cloud.sign("upstash:another", b"")):
        reply = httpx.post(f"{url}{JOB}", headers=headers, trust_env=False)
        assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")
    assert in_table(quota) == {}


def test_a_run_that_is_asked_for_is_a_message(cloud: Cloud, served: tuple[Quota, str]) -> None:
    quota, url = served
    quota.execute("ada", Register("ada"))
    assert httpx.post(f"{url}/sync", json={}, trust_env=False).status_code == 202
    cloud.settle()
    assert in_table(quota) == {"ada": 0}
