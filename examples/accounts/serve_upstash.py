"""What `make accounts-upstash` runs: an Upstash on this machine, and on it all that `make accounts` runs.

Words after the command go to `eventsource-upstash dev`, as in `python -m examples.accounts.serve_upstash --data kept`.
Both logs are in its Redis, under names of their own; its QStash notifies the processor and the order service, and
carries the messages from the one to the other.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from examples.todo.serve_upstash import drain, end, first, read, start, until_told

from .serve import Services

BACKENDS = {"ACCOUNTS_BACKEND": "upstash:accounts", "ORDERS_BACKEND": "upstash:orders"}


async def main() -> str | None:
    """Serve until told to stop. Answers what went wrong, if something did."""
    told = until_told()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environment"
        ports = ["--redis-port", "0", "--qstash-port", "0"]
        upstash = await start("eventsource_upstash.cli", "dev", *ports, "--env-file", str(file), *sys.argv[1:])
        try:
            assert upstash.stdout is not None
            # Its first line comes when it can be used, and after the file was written. What went wrong it says itself.
            if 1 in await first(upstash.stdout.readline(), told.wait()):
                return None
            if not file.exists():
                return "The local Upstash did not start."
            environment = {**read(file), **BACKENDS}
            try:
                services = Services(os.environ.get("PORT") or "8000", environment, "make accounts-upstash")
            except (OSError, ValueError) as error:
                return f"The accounts cannot be served: {error}"
            print(
                f"Local Upstash: {environment['UPSTASH_REDIS_REST_URL']}/dev/  (requests, messages, faults)", flush=True
            )
            services.tell()
            serving = asyncio.ensure_future(services.run(told))
            ended = await first(upstash.wait(), told.wait(), drain(upstash.stdout))
            told.set()
            await serving
            return None if 1 in ended else "The local Upstash has ended."
        finally:
            await end(upstash)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
