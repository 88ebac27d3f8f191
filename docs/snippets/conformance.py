"""The conformance suite, as a backend's author inherits it."""

# --8<-- [start:inherit]
from pathlib import Path

from eventsource_upstash import Memory
from eventsource_upstash.testing import LogContract, PromisesContract, ViewsContract


class TestMyBackend(LogContract, ViewsContract, PromisesContract):
    reopens = False  # what Memory holds is gone with the object; leave out if yours stays

    def open_backend(self, folder: Path) -> Memory:  # yours instead: MyBackend(folder / "events")
        return Memory()


# --8<-- [end:inherit]


def test_conformance(tmp_path: Path) -> None:
    assert TestMyBackend().run_tests(tmp_path) == {}
