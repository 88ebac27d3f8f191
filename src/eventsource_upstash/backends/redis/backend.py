"""`UpstashRedis(url, token)`: log and views in an Upstash Redis, over its REST API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..._io.addresses import host_of
from ..._io.blocking import PORT
from ..._io.port import Port
from ...domain.names import DEFAULT_NAMESPACE
from ...errors import Misuse
from ...ports import EVERYTHING, Limiter, Log, Mailbox, Views
from .archives import Archives
from .keys import Keys
from .log import LOST_AFTER_US, ROLL_AT, RedisLog
from .sync_tokens import SyncTokens
from .transport import HttpTransport, Transport
from .views import RedisViews

if TYPE_CHECKING:
    from .official import AsyncClient, Client

URL: str = "UPSTASH_REDIS_REST_URL"
TOKEN: str = "UPSTASH_REDIS_REST_TOKEN"  # noqa: S105  the variable's name
NAMESPACE: str = "EVENTSOURCE_NAMESPACE"


class UpstashRedis:
    """Log and views in one namespace of an Upstash Redis database, over HTTPS. It holds a token, and shows it nowhere.

    A plain description, for both colours, threads and event loops: nothing is opened before it is used.

    Args:
        url: The database's REST URL, from the console.
        token: Its standard token; the read-only one reads only.
        namespace: What its keys begin with: apps of different namespaces share a database without meeting.
        client: A client of the official package, `upstash_redis.Redis` or `upstash_redis.asyncio.Redis`, to send with
            instead of URL and token.
        connect_timeout: Seconds until a connection is there.
        read_timeout: Seconds that the server may be silent.
        total_timeout: Seconds for one operation, with everything that is tried again.
        roll_at: Bytes at which a key of the log, or of a stream, is put away and a new one begun.
        lost_after: Seconds after which a notification that was sent, and that nobody has acted on, counts as lost.

    Raises:
        Misuse: URL, token, namespace, client or a number cannot be what it is to be.
    """

    public = True
    capabilities = EVERYTHING

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        client: Client | AsyncClient | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        total_timeout: float = 20.0,
        roll_at: int = ROLL_AT,
        lost_after: float = LOST_AFTER_US / 1_000_000,
    ) -> None:
        if (client is None) == (url is None and token is None):
            raise Misuse("UpstashRedis takes a URL and a token, or a client of the official package")
        if type(roll_at) is not int or roll_at < 1 or not lost_after > 0:
            raise Misuse("roll_at is a number of bytes from 1, and lost_after a number of seconds above 0")
        self._keys = Keys(namespace)
        self._url = url or ""
        self._token = token or ""
        self._client = client
        self._timeouts = (connect_timeout, read_timeout, total_timeout)
        self._roll_at = roll_at
        self._lost_after_us = int(lost_after * 1_000_000)
        self._archives = Archives()
        self._tokens = SyncTokens()
        self._transports: WeakKeyDictionary[Port, Transport] = WeakKeyDictionary()
        self.transport(PORT)  # it checks what it is given: here, where the caller sees it

    @classmethod
    def from_env(cls, *, namespace: str | None = None, environ: Mapping[str, str] | None = None) -> UpstashRedis:
        """From the environment: UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN, EVENTSOURCE_NAMESPACE.

        Args:
            namespace: Instead of the environment's; that one's default is "events".
            environ: Instead of `os.environ`.

        Raises:
            Misuse: Names every variable that is missing or malformed.
        """
        found = os.environ if environ is None else environ
        problems = environment_problems(found)
        if problems:
            raise Misuse("Redis: " + "; ".join(problems))
        return cls(
            found[URL].strip(),
            found[TOKEN].strip(),
            namespace=namespace or found.get(NAMESPACE) or DEFAULT_NAMESPACE,
        )

    def __repr__(self) -> str:
        where = f"client={type(self._client).__name__}" if self._client is not None else repr(host_of(self._url))
        return f"UpstashRedis({where}, namespace={self.namespace!r})"

    @property
    def namespace(self) -> str:
        """What its keys begin with."""
        return self._keys.namespace

    def transport(self, port: Port) -> Transport:
        """What carries its commands, over a port: one for all who use that port."""
        transport = self._transports.get(port)
        if transport is None:
            connect, read, total = self._timeouts
            if self._client is not None:
                from .official import OfficialTransport

                transport = OfficialTransport(port, self._client, total_timeout=total)
            else:
                transport = HttpTransport(
                    port,
                    self._url,
                    self._token,
                    tokens=self._tokens,
                    connect_timeout=connect,
                    read_timeout=read,
                    total_timeout=total,
                )
            self._transports[port] = transport
        return transport

    def log(self, port: Port) -> Log:
        """Its log."""
        return self._log(port)

    def _log(self, port: Port) -> RedisLog:
        return RedisLog(
            self.transport(port),
            self._keys,
            self._archives,
            roll_at=self._roll_at,
            lost_after_us=self._lost_after_us,
        )

    def views(self, port: Port, log: Log) -> Views:
        """Its views, folded from that log."""
        return RedisViews(self.transport(port), self._keys, log, self._archives)

    def mailbox(self, port: Port) -> Mailbox | None:
        """None: messages go through QStash."""
        return None

    def limiter(self, port: Port) -> Limiter:
        """What counts requests for rate limits: the official package. Raises `Misuse` where it is not installed."""
        from .limits import RedisLimiter

        return RedisLimiter(self.transport(port), self._keys)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`: token and rights, scripts, the namespace, eviction, clocks. 4 requests, 8 commands."""
        from .checking import look_at

        return await look_at(self._log(port))

    def close(self) -> None:
        """Nothing is held open here: connections belong to the process and to each event loop."""


def environment_problems(environ: Mapping[str, str], *, namespace: bool = True) -> list[str]:
    """What is wrong with the variables of Redis, all of it. Values are never repeated: they may be secrets."""
    from ..._io.addresses import check_base_url

    problems: list[str] = []
    url = environ.get(URL, "").strip()
    if not url:
        problems.append(f"{URL} is not set: it stands in the Upstash console, under REST API of the database")
    else:
        try:
            check_base_url(URL, url)
        except Misuse as error:
            problems.append(str(error))
    token = environ.get(TOKEN, "").strip()
    if not token:
        problems.append(f"{TOKEN} is not set: it stands beside the URL")
    elif not token.isascii() or not token.isprintable() or " " in token or token[0] in "\"'":
        problems.append(f"{TOKEN} holds what no token holds: a space, a quotation mark, a line break")
    if namespace and environ.get(NAMESPACE):
        try:
            Keys(environ[NAMESPACE])
        except Misuse as error:
            problems.append(f"{NAMESPACE}: {error}")
    return problems
