"""What a URL, or the environment, says of Kafka: the topic, how it is reached, and where its views are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

from ..._io.addresses import Address, read_address
from ...errors import Misuse
from .rest.settings import DIALECTS, GROUP, Dialect
from .topic import Topic

SHAPES: Final = (
    "kafka://HOST:PORT,HOST:PORT/TOPIC (kafkas:// over TLS), kafka+https://HOST/TOPIC?dialect=..., or kafka: for what "
    "the environment says"
)
"""How those look, for messages."""

SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"
TOPIC: Final = "KAFKA_TOPIC"
VIEWS: Final = "KAFKA_VIEWS"
_USERNAME: Final = "KAFKA_USERNAME"
_PASSWORD: Final = "KAFKA_PASSWORD"  # noqa: S105  the variable's name
_MECHANISM: Final = "KAFKA_SASL_MECHANISM"
_PROTOCOL: Final = "KAFKA_SECURITY_PROTOCOL"
_CA: Final = "KAFKA_CA_FILE"

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

_OPTIONS: Final = {
    "kafka": {"views", "beginning", "mechanism", "group"},
    "kafkas": {"views", "beginning", "mechanism", "ca", "group"},
    "kafka+https": {"views", "beginning", "dialect", "partitions", "group", "cluster"},
    "kafka+http": {"views", "beginning", "dialect", "partitions", "group", "cluster"},
}


class Named(NamedTuple):
    """What was named.

    Attributes:
        topic: The topic.
        views: The URL of the backend that keeps the views; None where nothing was said.
        beginning: From where the log counts as whole, or None.
    """

    topic: Topic
    views: str | None
    beginning: str | None


def read_url(url: str, environ: Mapping[str, str]) -> Named:
    """What a URL of Kafka's schemes names; `kafka:` alone, or with a topic, says that it is in the environment.

    Raises:
        Misuse: It names no topic, or something that cannot be. The message repeats nothing of it but names.
    """
    address = read_address(url, f"connect: a URL of Kafka looks like {SHAPES}")
    known = _OPTIONS[address.scheme]
    unknown = sorted(set(address.options) - known)
    if unknown:
        raise Misuse(
            f"connect: {address.scheme}: takes {', '.join(sorted(known))} behind the '?', and not {unknown[0]}"
        )
    if not address.hosts:
        if address.scheme != "kafka":
            raise Misuse(f"connect: a URL of Kafka looks like {SHAPES}; this one names no host")
        topic = _from_environment(environ, address.path or None)
    else:
        _check_one_topic(address)
        topic = _over_http(address) if "+" in address.scheme else _natively(address)
    views = address.options.get("views") or environ.get(VIEWS, "").strip() or None
    return Named(topic, views, address.options.get("beginning"))


def _check_one_topic(address: Address) -> None:
    name = address.path.rpartition("/")[2]
    if not name or ("/" in address.path and "+" not in address.scheme):
        raise Misuse(f"connect: a URL of Kafka names one topic behind the host, as in {SHAPES}")


def _natively(address: Address) -> Topic:
    from .native import NativeTopic

    return NativeTopic(
        address.hosts,
        address.path,
        username=address.username,
        password=address.password,
        mechanism=address.options.get("mechanism", "PLAIN"),
        tls=address.scheme == "kafkas",
        ca=address.options.get("ca"),
        group=address.options.get("group"),
    )


def _over_http(address: Address) -> Topic:
    from .rest import RestTopic

    dialect = address.options.get("dialect", "upstash")
    if dialect not in DIALECTS:
        raise Misuse(f"connect: dialect= is one of {', '.join(DIALECTS)}")
    partitions = address.options.get("partitions")
    if partitions is not None and not (partitions.isascii() and partitions.isdigit() and len(partitions) < 9):
        raise Misuse("connect: partitions= is a number from 1: how many the topic has")
    path, _, name = address.path.rpartition("/")
    scheme = address.scheme.partition("+")[2]
    return RestTopic(
        f"{scheme}://{address.hosts}{'/' if path else ''}{path}",
        name,
        dialect=cast("Dialect", dialect),
        username=address.username,
        password=address.password,
        partitions=None if partitions is None else int(partitions),
        group=address.options.get("group", GROUP),
        cluster=address.options.get("cluster"),
    )


def _from_environment(environ: Mapping[str, str], name: str | None) -> Topic:
    """The topic that the environment names: over Kafka's own protocol if it names brokers, else over REST."""
    told = _reader(environ)
    servers = told(SERVERS)
    if not servers:
        from .rest import RestTopic

        try:
            return RestTopic.from_env(name, environ=environ)
        except Misuse as problem:
            raise Misuse(f"connect('kafka:'): {SERVERS} is not set; and {problem}") from None
    topic = name or told(TOPIC)
    username, password = told(_USERNAME), told(_PASSWORD)
    protocol = (told(_PROTOCOL) or ("SASL_SSL" if username else "PLAINTEXT")).upper()
    problems = [
        problem
        for wrong, problem in (
            (not topic, f"{TOPIC} is not set: the name of the topic"),
            (bool(username) != bool(password), f"{_USERNAME} and {_PASSWORD}: one is set and the other is not"),
            (protocol not in _PROTOCOLS, f"{_PROTOCOL} is one of {', '.join(_PROTOCOLS)}"),
            (
                protocol in _PROTOCOLS and protocol.startswith("SASL_") != bool(username),
                f"{_PROTOCOL} is {protocol}, which {'needs' if protocol.startswith('SASL_') else 'has no'} {_USERNAME}",
            ),
        )
        if wrong
    ]
    if problems:
        raise Misuse("connect('kafka:'): " + "; ".join(problems))
    from .native import NativeTopic

    return NativeTopic(
        servers,
        topic,
        username=username or None,
        password=password or None,
        mechanism=told(_MECHANISM) or "PLAIN",
        tls=protocol.endswith("SSL"),
        ca=told(_CA) or None,
    )


def _reader(environ: Mapping[str, str]) -> Callable[[str], str]:
    return lambda name: environ.get(name, "").strip()
