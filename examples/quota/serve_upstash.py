"""What `make quota-upstash` runs: an Upstash on this machine, and the quota on it, until Ctrl+C.

Words after the command go to `eventsource-upstash dev`, as in `python -m examples.quota.serve_upstash --data kept`.
"""

from __future__ import annotations

import asyncio
import sys

from examples.todo.serve_upstash import main

if __name__ == "__main__":
    sys.exit(asyncio.run(main("examples.quota.serve", QUOTA_BACKEND="upstash:", QUOTA_COMMAND="make quota-upstash")))
