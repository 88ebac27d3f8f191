"""The command: `eventsource-upstash dev`, the local Upstash until Ctrl-C; and `copy`, in a file of its own."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from .copying import add_copy, copy
from .environment import write_variables
from .telling import fail, say

if TYPE_CHECKING:
    from ..local import LocalUpstash

__all__ = ["main"]

_MAPPING: Final = re.compile(r"(https?://[^=]+)=(https?://.+)")

_ADDRESS: Final = re.compile(r"[^:/,\s]+:\d{1,5}")
_TOPIC: Final = re.compile(r"([A-Za-z0-9._-]{1,249})(?::([1-9]\d{0,3}))?")

_KAFKA_PORT: Final = 8082

_MISSING: Final = (
    "the local Upstash needs {name}, which is not installed. Install it with:\n\n"
    "    pip install 'eventsource-upstash[local]'"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    Args:
        arguments: Words after the command's name; those of the process if None.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "copy":
        return copy(options)
    if options.kafka is None and (options.topic or options.kafka_port is not None):
        parser.error("--topic and --kafka-port are for --kafka")
    return _dev(options)


def _dev(options: argparse.Namespace) -> int:
    if sys.platform == "win32":
        return fail("the local Upstash runs on Linux and macOS; on Windows, run it in WSL")
    try:
        from ..local import EngineUnavailable, KafkaSettings, LocalUpstash, PortTaken
        from ..local.qstash.settings import Settings
        from ..local.redis.wire import EngineError, EngineGone
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("eventsource_upstash"):
            raise
        return fail(_MISSING.format(name=error.name))
    port = _KAFKA_PORT if options.kafka_port is None else options.kafka_port
    upstash = LocalUpstash(
        kafka=options.kafka is not None and KafkaSettings(options.kafka or None, port, dict(options.topic)),
        redis_port=options.redis_port,
        qstash_port=options.qstash_port,
        engine_url=options.redis_url,
        data=options.data,
        key_locking=options.key_locking,
        qstash=Settings(mapping=dict(options.map)),
    )
    stop: SimpleQueue[None] = SimpleQueue()  # what a signal's handler may put to, whatever it has interrupted

    def end(_number: int, _frame: object) -> None:
        stop.put(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        upstash.start()
    except PortTaken as error:
        return fail(f"port {error.port} is taken. Choose another with --{error.half}-port PORT (0: a free one)")
    except (EngineUnavailable, EngineGone, ValueError) as error:
        return fail(str(error))
    except EngineError as error:
        return fail(f"the Redis of --redis-url does not let us in: {error.text}")
    try:
        replaced: list[str] = []
        if options.env_file is not None:
            replaced = write_variables(options.env_file, upstash.environment())
        _announce(upstash, options.env_file, replaced, kafka=options.kafka is not None)
        stop.get()
    except OSError as error:
        return fail(f"{options.env_file} cannot be written: {error.strerror}")
    finally:
        upstash.stop()
    say("\nstopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eventsource-upstash", description="Tools of eventsource-upstash.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dev = commands.add_parser(
        "dev",
        help="run Upstash Redis, QStash, and Kafka over REST on this machine",
        description="Run Upstash Redis (REST), QStash, and Kafka over REST if wanted on this machine, for development "
        "and tests only. "
        "Stop it with Ctrl-C.",
    )
    dev.add_argument("--redis-port", type=_port, default=8079, metavar="PORT", help="of Redis over REST (8079)")
    dev.add_argument("--qstash-port", type=_port, default=8080, metavar="PORT", help="of QStash (8080)")
    dev.add_argument(
        "--kafka",
        nargs="?",
        const="",
        type=_broker,
        metavar="HOST:PORT",
        help="run Kafka over REST as well: over the broker at HOST:PORT, or over one of its own, in memory",
    )
    dev.add_argument("--kafka-port", type=_port, metavar="PORT", help=f"of Kafka over REST ({_KAFKA_PORT})")
    dev.add_argument(
        "--topic",
        type=_topic,
        action="append",
        default=[],
        metavar="NAME[:PARTITIONS]",
        help="create this topic of Kafka, if it is not there: with 1 partition, unless told (may be repeated)",
    )
    dev.add_argument(
        "--env-file", type=Path, metavar="FILE", help="write the variables into FILE, such as .env.upstash-local"
    )
    engine = dev.add_mutually_exclusive_group()
    engine.add_argument("--redis-url", metavar="URL", help="use a running Redis or Valkey: redis://127.0.0.1:6379/0")
    engine.add_argument("--data", type=Path, metavar="DIR", help="keep the data in DIR; without, it is gone at the end")
    dev.add_argument(
        "--map",
        type=_mapping,
        action="append",
        default=[],
        metavar="PUBLIC=LOCAL",
        help="deliver what is sent to a public URL to a local one, signed for the public one: "
        "https://app.example.com=http://127.0.0.1:3000 (may be repeated)",
    )
    dev.add_argument(
        "--no-key-locking",
        dest="key_locking",
        action="store_false",
        help="refuse scripts with the flag allow-key-locking, as a plain Redis does",
    )
    add_copy(commands.add_parser("copy", help="copy a log to another one"))
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _mapping(text: str) -> tuple[str, str]:
    found = _MAPPING.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"looks like https://app.example.com=http://127.0.0.1:3000, not {text!r}")
    return found.group(1), found.group(2)


def _broker(text: str) -> str:
    if text and not all(_ADDRESS.fullmatch(each) for each in text.split(",")):
        raise argparse.ArgumentTypeError(f"looks like 127.0.0.1:9092, not {text!r}")
    return text


def _topic(text: str) -> tuple[str, int]:
    found = _TOPIC.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"looks like events or events:4, not {text!r}")
    return found.group(1), int(found.group(2) or 1)


def _announce(upstash: LocalUpstash, env_file: Path | None, replaced: Sequence[str], *, kafka: bool) -> None:
    say("Local Upstash, for DEVELOPMENT ONLY: its credentials are public, its data is not safe.\n")
    for name, value in upstash.environment().items():
        say(f"{name}={value}")
    if env_file is not None:
        say(f"\nwritten to {env_file}")
        for name in replaced:  # the old value may have been of a real account: not shown, and not without a word
            say(f"replaced another value of {name}")
    if kafka:
        say(f"\nKafka over REST, as Upstash had it: {upstash.kafka.url}")
        say(f"as Confluent's REST Proxy has it (v2, v3): {upstash.kafka.confluent_url}")
        if upstash.kafka.in_memory:
            say(f"its broker, at {upstash.kafka.bootstrap_servers}, keeps all in memory: it is gone when this stops")
    say(f"\nsee it at {upstash.redis_url}/dev\nstop it with Ctrl-C")
