"""Workers that are killed as a process is, and a server whose answers are lost."""

from __future__ import annotations

from pathlib import Path

from tests.faults.processes import run


def test_a_worker_killed_at_any_step_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    program = "import sys\nfrom tests.reactors.kills import main\nprint(main(sys.argv[1]))"
    assert int(run(program, str(tmp_path / "events.db"))) > 20
