"""What the environment says of Kafka over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, cast, get_args

Dialect: TypeAlias = Literal["upstash", "confluent", "confluent-v3", "redpanda"]
"""What a server of Kafka over REST speaks: Upstash's API as it was; version 2 of Confluent's, as Karapace has it too;
version 3 of it, for writing; Redpanda's HTTP proxy."""

DIALECTS: Final[tuple[str, ...]] = get_args(Dialect)

GROUP: Final = "eventsource-upstash"
"""The consumer group that consumers are made in, unless told otherwise."""

_URLS: Final = ("KAFKA_REST_URL", "UPSTASH_KAFKA_REST_URL", "UPSTASH_KAFKA_URL")
_USERS: Final = ("KAFKA_REST", "UPSTASH_KAFKA_REST", "UPSTASH_KAFKA")
_TOPICS: Final = ("KAFKA_TOPIC", "UPSTASH_KAFKA_TOPIC")


class Environment(NamedTuple):
    """What the environment says. Whatever is wrong with it is in `problems`, all of it at once."""

    url: str
    name: str
    dialect: Dialect
    username: str | None
    password: str | None
    partitions: int | None
    group: str
    cluster: str | None
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, dialect={self.dialect!r}, problems={self.problems!r})"


def read_environment(environ: Mapping[str, str], name: str | None = None) -> Environment:
    """Read the variables, and collect what is missing or malformed instead of stopping at the first.

    Args:
        environ: `os.environ`, or what stands for it.
        name: The topic, instead of the environment's.
    """
    problems: list[str] = []
    source, url = _first(environ, _URLS)
    if not url:
        problems.append(f"none of {', '.join(_URLS)} is set: the URL of Kafka's REST API")
    _, topic = ("", name) if name else _first(environ, _TOPICS)
    if not topic:
        problems.append(f"none of {' and '.join(_TOPICS)} is set: the name of the topic")
    dialect = _text(environ, "KAFKA_REST_DIALECT") or ("confluent" if source == "KAFKA_REST_URL" else "upstash")
    if dialect not in DIALECTS:
        problems.append(f"KAFKA_REST_DIALECT is {dialect[:40]!r}: the dialects are {', '.join(DIALECTS)}")
    username, password = _credentials(environ, problems)
    count = _text(environ, "KAFKA_REST_PARTITIONS")
    if count and not (count.isascii() and count.isdigit() and int(count[:9]) > 0 and len(count) < 9):
        problems.append(f"KAFKA_REST_PARTITIONS is {count[:40]!r}: it is a number from 1")
        count = ""
    return Environment(
        url,
        topic,
        cast("Dialect", dialect),
        username,
        password,
        int(count) if count else None,
        _text(environ, "KAFKA_REST_GROUP") or GROUP,
        _text(environ, "KAFKA_REST_CLUSTER") or None,
        tuple(problems),
    )


def _credentials(environ: Mapping[str, str], problems: list[str]) -> tuple[str | None, str | None]:
    for prefix in _USERS:
        names = (f"{prefix}_USERNAME", f"{prefix}_PASSWORD")
        username, password = (_text(environ, each) for each in names)
        if username and password:
            return username, password
        if username or password:
            problems.append(f"{names[0]} and {names[1]}: one is set and the other is not")
            return None, None
    return None, None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    return next(((name, text) for name in names if (text := _text(environ, name))), ("", ""))


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
