"""`python -m eventsource_upstash.testing.proxy URL`: the proxy for an app that runs by itself, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import threading
from collections.abc import Sequence

from .faults import KINDS, Seeded
from .server import FaultyProxy


def main(arguments: Sequence[str] | None = None, *, stop: threading.Event | None = None) -> int:
    """Run it.

    Args:
        arguments: Instead of those of the command line.
        stop: Ends it, besides Ctrl-C.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eventsource_upstash.testing.proxy",
        description="Spoils what goes over the wire between an app and its Upstash. For tests.",
        epilog="Kinds: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()) + ".",
    )
    parser.add_argument("url", help="the server's URL, as in UPSTASH_REDIS_REST_URL")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; default: a free one")
    parser.add_argument("--seed", type=int, default=None, help="of the dice; default: one that is printed")
    parser.add_argument("--probability", type=float, default=0.1, help="of a request being struck; default: 0.1")
    parser.add_argument("--seconds", type=float, default=0.5, help="longest time that something waits; default: 0.5")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), metavar="KIND", help="default: all but quota")
    given = parser.parse_args(arguments)
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    try:
        faults = Seeded(seed, probability=given.probability, kinds=given.kinds, seconds=given.seconds)
        proxy = FaultyProxy(given.url, faults=faults, port=given.port)
        proxy.start()
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        sys.stdout.write(f"{proxy.url} (seed {seed})\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            (stop or threading.Event()).wait()
        counts = ", ".join(f"{kind} {times}" for kind, times in sorted(proxy.struck.items())) or "none"
        sys.stdout.write(f"{proxy.requests} requests, {proxy.passed_on} passed on; faults: {counts}\n")
    finally:
        proxy.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
