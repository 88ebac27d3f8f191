"""What `make quota-upstash` runs: an Upstash on this machine, and the quota on it, until Ctrl+C.

Words after the command go to `eventsource-upstash dev`, as in `python -m examples.quota.serve_upstash --data kept`. The
table ends with the log that it is of, or is kept beside it; unless QUOTA_DATABASE says where it is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from examples.todo.serve_upstash import main


def serve() -> str | None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path)
    data: Path | None = parser.parse_known_args()[0].data
    with tempfile.TemporaryDirectory() as folder:
        kept = data or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        database = os.environ.get("QUOTA_DATABASE") or f"sqlite:///{kept / 'quota-table.db'}"
        variables = {"QUOTA_BACKEND": "upstash:", "QUOTA_DATABASE": database, "QUOTA_COMMAND": "make quota-upstash"}
        return asyncio.run(main("examples.quota.serve", **variables))


if __name__ == "__main__":
    sys.exit(serve())
