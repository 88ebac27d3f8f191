"""How many examples Hypothesis looks at."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """That many on one Python, and a quarter on the others: they look for what differs between Pythons only."""
    return max(1, count // 4) if os.environ.get("FEWER_EXAMPLES") else count
