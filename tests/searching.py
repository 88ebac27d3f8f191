"""How many examples Hypothesis looks at."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """That many on one Python, and a quarter on the others: they look for what differs between Pythons only.

    `THOROUGH=20` in the environment makes it twenty times as many, for a search that takes its time.
    """
    if os.environ.get("FEWER_EXAMPLES"):
        return max(1, count // 4)
    return count * thorough()


def thorough() -> int:
    """How many times as much is to be tried as in CI: `THOROUGH` of the environment, or 1."""
    return max(1, int(os.environ.get("THOROUGH", "1")))
