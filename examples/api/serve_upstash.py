"""What `make api-upstash` runs: an Upstash on this machine, and the API on it, until Ctrl+C.

Words after the command go to `eventsource-upstash dev`, as in `python -m examples.api.serve_upstash --data kept`.
"""

from __future__ import annotations

import asyncio
import sys

from examples.todo.serve_upstash import main

if __name__ == "__main__":
    sys.exit(asyncio.run(main("examples.api.serve", API_BACKEND="upstash:", API_COMMAND="make api-upstash")))
