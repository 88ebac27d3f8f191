"""A client of the official SDK, as the transport."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, cast

from ..._io.port import Port
from ..._io.retrying import RANDOM
from ...errors import Misuse
from ..sending import Call, Trouble
from .replies import Refusal, Reply
from .transport import Transport

ATTEMPTS: Final = 3
"""The SDK itself sends everything twice, with a pause of three seconds in between."""


class Client(Protocol):
    """What is used of `upstash_redis.Redis`."""

    def execute(self, command: list[str]) -> object:
        """Send a command and block for its result."""
        ...


class AsyncClient(Protocol):
    """What is used of `upstash_redis.asyncio.Redis`."""

    async def execute(self, command: list[str]) -> object:
        """Send a command and suspend until its result is there."""
        ...


class OfficialTransport(Transport):
    """Sends through `upstash_redis.Redis` or `upstash_redis.asyncio.Redis`, from either side. It does not close it.

    The SDK sends everything twice when the first time fails, and tells of the last failure only. So whatever fails in
    it may have been done; and a script gets the arguments for a repeat at once. The SDK has no timeouts: a blocking
    client waits for as long as the server keeps it waiting. An asynchronous client that is used on one event loop after
    another fails once on each, and is tried again; from the blocking side it is run on one loop that is kept for that,
    and so should not be used elsewhere.

    Args:
        port: What waits.
        client: The client.
        total_timeout: Seconds for one operation, with everything that is tried again by us.
        attempts: How often an operation is tried.
        clock: Seconds, as `time.monotonic` tells them.
        draw: Draws a number from 0 up to 1.

    Raises:
        Misuse: It is no client of the SDK.
    """

    sends_twice = True

    def __init__(
        self,
        port: Port,
        client: Client | AsyncClient,
        *,
        total_timeout: float = 20.0,
        attempts: int = ATTEMPTS,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        execute = getattr(client, "execute", None)
        if not callable(execute):
            raise Misuse(
                f"{type(client).__name__} is no client of Redis: it has no execute(command), as upstash_redis has"
            )
        super().__init__(
            port,
            f"{type(client).__module__}.{type(client).__qualname__}",
            total_timeout=total_timeout,
            attempts=attempts,
            clock=clock,
            draw=draw,
        )
        self._client = client
        self._suspends = inspect.iscoroutinefunction(execute)

    async def attempt(self, call: Call, command: Sequence[str]) -> Reply | Refusal | Trouble:
        """See `Transport.attempt`."""
        # In small letters, because the SDK reshapes the results of the commands that it knows, by their capitals.
        words = [command[0].lower(), *command[1:]]
        call.sent(0)
        try:
            return Reply(await self._execute(words, max(call.budget.left, 0.001)))
        except Exception as error:
            # By its name, since the SDK need not be installed for a client that only looks like it.
            if any(each.__name__ == "UpstashError" for each in type(error).__mro__):
                return Refusal(str(error))
            return Trouble(f"the client failed ({type(error).__name__})", unknown=True)

    async def _execute(self, words: list[str], seconds: float) -> object:
        if not self._suspends:
            execute = self._client.execute
            return await self.port.call(lambda: execute(words))
        from ..._io.loops import awaited

        suspending = cast("Callable[[list[str]], Awaitable[object]]", self._client.execute)
        return await awaited(self.port, lambda: suspending(words), seconds)
