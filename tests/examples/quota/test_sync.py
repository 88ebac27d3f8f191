"""The table: in step by the job, exact after any stop, and in bounded memory."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import Misuse
from examples.quota import sync
from examples.quota.domain import ChangePlan, Register, Remove
from examples.quota.fill import fill
from examples.quota.service import SCHEDULE, Quota
from tests.examples.quota.support import Clock, Made, in_log, in_table

ROOT = Path(__file__).parents[3]


def test_the_job_runs_at_the_full_hour(quota: Quota, clock: Clock) -> None:
    quota.execute("ada", Register("ada"))
    quota.call("ada", "/v1/search", 3)
    assert quota.app.messages.deliver_due().delivered == 0
    clock.wait(29)
    assert quota.app.messages.deliver_due().delivered == 0
    clock.wait(1)
    assert quota.app.messages.deliver_due().delivered == 1
    assert in_table(quota) == in_log(quota) == {"ada": 3}
    assert quota.app.messages.deliver_due().delivered == 0  # until the next one


def test_starting_again_makes_no_second_schedule(quota: Quota, clock: Clock) -> None:
    quota.set_up()
    assert [each.id for each in quota.app.schedules.list()] == [SCHEDULE]
    clock.wait(30)
    assert quota.app.messages.deliver_due().delivered == 1


def test_what_changes_and_what_goes_is_copied_too(quota: Quota) -> None:
    for user in ("ada", "bob", "eve"):
        quota.execute(user, Register(user))
        quota.call(user, "/v1/search", 5)
    quota.copy()
    quota.execute("ada", ChangePlan("team"))
    quota.call("bob", "/v1/search", 2)
    quota.execute("eve", Remove())
    synced = quota.copy()
    assert (synced.upserted, synced.deleted, synced.complete) == (2, 1, True)
    assert in_table(quota) == in_log(quota) == {"ada": 5, "bob": 7}
    assert quota.step().users == 2


def test_what_does_not_fit_into_one_delivery_goes_into_further_ones(make: Made, clock: Clock) -> None:
    quota = make(budget=0)
    fill(quota, 1200)
    clock.wait(30)
    delivered = quota.app.messages.deliver_due().delivered
    assert delivered >= 3  # each one transaction of some 500 rows
    assert in_table(quota) == in_log(quota)


def test_a_run_that_is_stopped_half_way_leaves_a_table_that_the_next_one_makes_exact(quota: Quota) -> None:
    fill(quota, 1200)
    quota.app.projector.catch_up()
    assert not quota.copy_some().complete
    part = in_table(quota)
    log = in_log(quota)
    assert 0 < len(part) < 1200
    assert part.items() <= log.items()
    assert quota.copy().complete
    assert in_table(quota) == log


RUN = """
import sys
from examples.quota.service import Quota
from tests.examples.quota.support import Made
quota = Quota()
quota.copy(None, lambda syncing: print(syncing.done, flush=True))
print("done", flush=True)
"""


def test_killed_again_and_again_the_table_is_exact_in_the_end(tmp_path: Path) -> None:
    backend, database = f"sqlite:{tmp_path}/log.db", f"sqlite:///{tmp_path}/table.db"
    quota = Quota(backend, database)
    quota.set_up()
    environment = {**os.environ, "QUOTA_BACKEND": backend, "QUOTA_DATABASE": database}

    def run(lines: int) -> str:
        """Sync in a process of its own, and kill it after so many transactions."""
        command = [sys.executable, "-c", RUN]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = ""
            for _ in range(lines):
                told = process.stdout.readline().strip()
            process.kill()
        return told

    try:
        fill(quota, 2000)
        quota.app.projector.catch_up()
        for kill_after in (1, 2):
            assert run(kill_after) not in {"", "done"}
            # The log goes on meanwhile: for users that are in the table already, and for others.
            quota.call("user-000001", "/v1/search", kill_after)
            quota.call("user-001999", "/v1/search", kill_after)
        quota.execute("user-000002", Remove())
        assert run(1) not in {"", "done"}
        assert quota.copy().complete
        assert in_table(quota) == in_log(quota)
    finally:
        quota.engine.dispose()
        quota.app.close()


def test_the_command_shows_how_far_it_is(tmp_path: Path) -> None:
    variables = {"QUOTA_BACKEND": f"sqlite:{tmp_path}/log.db", "QUOTA_DATABASE": f"sqlite:///{tmp_path}/table.db"}
    environment = {**os.environ, **variables}

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", *words)
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    command("examples.quota.fill", "20")
    ran = command("examples.quota.sync")
    assert ran.stdout.startswith("20 rows written, 0 deleted; in step with position ")
    assert "100%" in ran.stderr


@pytest.mark.parametrize("calls", [1, 5], ids=["shorter", "longer"])
def test_a_table_of_another_log_is_left_as_it_is_until_an_operator_says_full(
    make: Made, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, calls: int
) -> None:
    before = make()
    before.execute("ada", Register("ada"))
    before.call("ada", "/v1/search", 3)
    before.call("ada", "/v1/search", 3)
    before.copy()
    other = make()
    other.execute("bob", Register("bob"))
    for _ in range(calls):
        other.call("bob", "/v1/search")
    clock.wait(30)
    assert other.app.messages.deliver_due().buried == 1, "no further delivery can help"
    assert in_table(other) == {"ada": 6}

    monkeypatch.setattr("examples.quota.service.Quota", lambda: other)
    monkeypatch.setattr(sys, "argv", ["sync"])
    with pytest.raises(SystemExit, match=r"(Go back to|Restore) the log.*Sync\.run\(full=True\)\. Here, --full is"):
        sync.main()
    assert in_table(other) == {"ada": 6}
    monkeypatch.setattr(sys, "argv", ["sync", "--full"])
    sync.main()
    assert "1 rows written, 1 deleted" in capsys.readouterr().out
    assert in_table(other) == {"bob": calls}


def test_a_mariadb_url_without_a_database_is_told() -> None:
    with pytest.raises(Misuse, match="QUOTA_DATABASE names no database"):
        Quota("memory:", "mysql+pymysql://me:s3cret@127.0.0.1")


def test_ctrl_c_while_the_command_still_imports_what_it_needs_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def pressed(name: str, *rest: Any, **more: Any) -> Any:
        if name == "sqlalchemy.exc":
            raise KeyboardInterrupt
        return real(name, *rest, **more)

    monkeypatch.setattr(sys, "argv", ["sync"])
    monkeypatch.setattr(builtins, "__import__", pressed)
    with pytest.raises(SystemExit) as ended:
        sync.main()
    assert ended.value.code == 130


def test_a_database_that_cannot_be_used_is_said_without_its_url(tmp_path: Path) -> None:
    variables = {
        "QUOTA_BACKEND": f"sqlite:{tmp_path}/log.db",
        "QUOTA_DATABASE": f"sqlite:///{tmp_path}/s3cret/table.db",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "examples.quota.sync"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == ("The table cannot be brought in step: QUOTA_DATABASE cannot be used (OperationalError).\n")
