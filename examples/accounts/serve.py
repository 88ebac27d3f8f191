"""What `make accounts` runs: the three functions, the order service and the page, until Ctrl+C.

Each is a process of its own, as it would be a deployment of its own. One that dies is started again; meanwhile its
callers wait, since the socket that it listens on is kept here. PORT says where the page is; the others take ports that
are free. ACCOUNTS_BACKEND (`sqlite:accounts.db`) and ORDERS_BACKEND (`sqlite:orders.db`) say where the logs are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping

from eventsource_upstash import EventSourceError
from examples.todo.serve import HOST, listen
from examples.todo.serve_upstash import end, tied, until_told

from . import settings
from .function import FUNCTIONS, check

COMMAND = "make accounts"

LIVED = 1.0
"""Seconds that a process has to live to be started again at once. What dies sooner waits for as long."""


class Services:
    """The processes, and the sockets that they listen on.

    Args:
        port: Where the page is.
        variables: What the environment of each says, besides where the others are.
        command: What the person typed.
    """

    def __init__(self, port: str, variables: Mapping[str, str], command: str = COMMAND) -> None:
        self.listeners = {name: listen(port if name == "front" else "0", command) for name in FUNCTIONS}
        self._variables = variables
        self._running: dict[str, Process] = {}

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.listeners[name].getsockname()[1]}"

    def environment(self, name: str) -> dict[str, str]:
        """What a function is told. A notification of the accounts' log is for the processor, whoever sends it."""
        urls = {f"{each.upper()}_URL": self.url(each) for each in FUNCTIONS if each != "front"}
        notified = self.url("orders" if name == "orders" else "processor")
        return {**os.environ, **urls, "EVENTSOURCE_NOTIFY_URL": f"{notified}/projections", **self._variables}

    def tell(self) -> None:
        """Say where everything is."""
        print(f"Accounts: {self.url('front')}  (Ctrl+C stops)", flush=True)
        for name in FUNCTIONS:
            if name != "front":
                print(f"  {name:<10} {self.url(name)}", flush=True)

    async def run(self, told: asyncio.Event) -> None:
        """Serve until told to stop."""
        keepers = [asyncio.ensure_future(self._keep(name)) for name in FUNCTIONS]
        try:
            await told.wait()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._end()

    async def _end(self) -> None:
        # The order service last: the processor may be in the middle of a message to it. Who waits for one that is gone
        # already is refused as soon as nobody listens any more.
        orders = self._running.get("orders")
        if orders is None or orders.returncode is not None:
            self.listeners["orders"].close()
        await asyncio.gather(*(end(process) for name, process in self._running.items() if name != "orders"))
        if orders is not None:
            await end(orders)
        for listener in self.listeners.values():
            listener.close()

    async def _keep(self, name: str) -> None:
        while True:
            started = time.monotonic()
            process = self._running[name] = await self._start(name, self.listeners[name])
            print(f"  {name:<10} process {process.pid}", flush=True)
            code = await process.wait()
            print(f"  {name:<10} has ended ({code}) and is started again", file=sys.stderr, flush=True)
            if time.monotonic() - started < LIVED:
                await asyncio.sleep(LIVED)

    async def _start(self, name: str, listener: socket.socket) -> Process:
        # In a session of its own, so that Ctrl+C reaches it through us only.
        return await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "examples.accounts.function", name, "--fd", str(listener.fileno())],
            stdout=asyncio.subprocess.DEVNULL,
            env=self.environment(name),
            pass_fds=[listener.fileno()],
            start_new_session=True,
            preexec_fn=tied(),
        )


async def main() -> str | None:
    """Serve until told to stop. Answers what went wrong, if something did."""
    told = until_told()
    backends = {"ACCOUNTS_BACKEND": settings.accounts_backend(), "ORDERS_BACKEND": settings.orders_backend()}
    try:
        for name, url in backends.items():
            check_file(name, url)
        services = Services(os.environ.get("PORT") or "8000", backends)
    except (EventSourceError, OSError, ValueError) as error:
        return f"The accounts cannot be served: {error}"
    services.tell()
    await services.run(told)
    return None


def check_file(name: str, url: str) -> None:
    """Fail now, and in words, if a log cannot be kept there."""
    if not url.startswith("sqlite:"):
        raise ValueError(f"{name}: this serves logs in files, sqlite:FILE. On an Upstash: make accounts-upstash.")
    check(url)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
