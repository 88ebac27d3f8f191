"""librdkafka, through the package confluent-kafka: how it is configured, and what it logs.

The package is imported when a topic is first used: importing the library stays quick, and needs nothing of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar, Final, NamedTuple, TypeAlias

from ....errors import Misuse

Value: TypeAlias = "str | int | float | bool"
Options: TypeAlias = "Mapping[str, Value]"

LOGGER: Final = logging.getLogger("eventsource_upstash.kafka")

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""How a user name and a password are shown to a broker. Others take librdkafka's options."""

OURS: Final = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "default.topic.config",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "error_cb",
        "isolation.level",
        "log_cb",
        "logger",
        "metadata.broker.list",
        "request.required.acks",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
    }
)
"""What no option may change: arguments of their own say it, or the promises of the log hang on it."""

HIDDEN: Final = ("password", "secret", "pem", "token")
"""An option whose name has one of these in it holds a secret."""

SAID_AGAIN: Final = 60.0
"""Seconds after which a log line is repeated, if it is said again."""

MOST_SAID: Final = 100
"""Log lines that are remembered for that."""

_NUMBERS: Final = re.compile(r"[0-9]+")

FETCH_WAIT_MS: Final = 5
"""How long a broker waits for new records before it says that there are none. Nobody fetches where nothing is left."""

PREFETCH_KB: Final = 16_384
"""Kilobytes that a reader fetches ahead."""

MAX_PARTITION_BYTES: Final = 256 * 1024
"""Bytes that a broker answers of one partition at once: no partition keeps the others waiting for long."""


class Settings(NamedTuple):
    """How a cluster is reached, checked.

    Attributes:
        servers: Addresses of some of its brokers, as `HOST:PORT,HOST:PORT`.
        username: User name, or None without authentication.
        password: Its password.
        mechanism: One of `MECHANISMS`.
        tls: Whether connections are encrypted.
        ca: File, or PEM text, of the authorities that the brokers' certificates are checked against; None for the
            system's.
        timeout: Seconds for one operation.
        options: Further options of librdkafka's.
    """

    servers: str
    username: str | None
    password: str | None
    mechanism: str
    tls: bool
    ca: str | None
    timeout: float
    options: Options

    def __repr__(self) -> str:
        return f"Settings({self.servers!r})"  # the rest may be secret

    def secrets(self) -> list[str]:
        """What stands in no message and no log line, the longest first."""
        hidden = [
            str(value) for name, value in self.options.items() if any(sign in name.lower() for sign in HIDDEN) and value
        ]
        return sorted([*hidden, *([self.password] if self.password else [])], key=len, reverse=True)

    def common(self) -> dict[str, object]:
        """What producers and consumers are configured with alike."""
        protocol = ("SASL_" if self.username is not None else "") + ("SSL" if self.tls else "PLAINTEXT")
        milliseconds = round(self.timeout * 1000)
        found: dict[str, object] = {
            "bootstrap.servers": self.servers,
            "client.id": "eventsource-upstash",
            "security.protocol": protocol,
            "socket.timeout.ms": max(milliseconds, 10),
            "socket.connection.setup.timeout.ms": max(milliseconds, 1_000),
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
            "log.connection.close": False,
        }
        if self.username is not None:
            found |= {
                "sasl.mechanisms": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password or "",
            }
        if self.ca is not None:
            found["ssl.ca.pem" if self.ca.lstrip().startswith("-----BEGIN") else "ssl.ca.location"] = self.ca
        return found

    def reading(self) -> dict[str, object]:
        """Configuration of a consumer that is told what to read, and joins no group."""
        return {
            **self.common(),
            "group.id": "eventsource-upstash",  # it must have one; nobody joins it
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "queued.max.messages.kbytes": PREFETCH_KB,
            "max.partition.fetch.bytes": MAX_PARTITION_BYTES,
            **self._options(),
            "allow.auto.create.topics": False,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }

    def writing(self, transactional_id: str | None = None) -> dict[str, object]:
        """Configuration of a producer that writes each record once, to all replicas."""
        milliseconds = round(self.timeout * 1000)
        found: dict[str, object] = {
            **self.common(),
            "linger.ms": 0,
            "message.timeout.ms": milliseconds,
            "request.timeout.ms": milliseconds,
            **self._options(),
            "acks": "all",
            "enable.idempotence": True,
        }
        if transactional_id is not None:
            # The coordinator gives a transaction up that nobody ends; not before our own time is over.
            found |= {"transactional.id": transactional_id, "transaction.timeout.ms": milliseconds + 5_000}
        return found

    def _options(self) -> dict[str, object]:
        return {name: value for name, value in self.options.items() if name != "transactional.id"}


class Log:
    """Takes librdkafka's own log lines to `eventsource_upstash.kafka`, without secrets; a `logger=` of its.

    While a broker is away it says the same several times a second: once a minute is enough. What matters to a caller is
    raised, so nothing here is more than a warning.
    """

    _said: ClassVar[dict[str, float]] = {}  # of all clients: who tries again makes another one, which finds the same

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = secrets

    def log(self, level: int, message: str, *arguments: object) -> None:
        """One line."""
        if arguments and arguments[0] == "CONFWARN":  # an option of the other kind of client: meant for that one
            return
        text = clean(message % arguments if arguments else message, self._secrets)
        key = _NUMBERS.sub("", text)
        now = time.monotonic()
        if level > logging.DEBUG and now - self._said.get(key, -SAID_AGAIN) < SAID_AGAIN:
            return
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        self._said[key] = now
        LOGGER.log(min(level, logging.WARNING), "%s", text)


def clean(text: str, secrets: list[str]) -> str:
    """A text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def check_installed() -> None:
    """Raise `Misuse` where the package confluent-kafka is not installed."""
    if find_spec("confluent_kafka") is None:
        raise Misuse(
            "a topic of Kafka, by its own protocol, needs the package confluent-kafka: "
            "pip install 'eventsource-upstash[kafka]'"
        )
