"""Which folders of tests are a part of their own: `tests/conftest.py` marks them, `.ci/suite.py` runs them.

Nothing is imported here: `.ci/suite.py` reads it before it starts pytest.
"""

from __future__ import annotations

from typing import Final

OVER_REDIS: Final = ("redis",)
OVER_KAFKA: Final = ("kafka", "local/kafka", "sharing", "copying")

PROOF: Final = ("attacks", "history", "secrets", "soak", "stepping", "wire")
"""What tries every order, every fault, every attack, or for a while."""

CORE: Final = ("conformance", "corpus", "faces", "faults", "properties", "scenarios", "unit", "web")
"""What each other Python runs: the logic, its contracts on the embedded backends, the faces, the endpoint."""

MARKS: Final = {"over_redis": OVER_REDIS, "over_kafka": OVER_KAFKA, "proof": PROOF, "core": CORE}


def below(folders: tuple[str, ...]) -> tuple[str, ...]:
    """What the paths of tests in `folders` begin with."""
    return tuple(f"tests/{folder}/" for folder in folders)
