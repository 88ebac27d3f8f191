"""A proxy that spoils what goes over the wire, between an app and its Upstash.

    with FaultyProxy(upstash.redis_url, faults=Seeded(7, probability=0.3)) as proxy:
        app = App(UpstashRedis(proxy.url, upstash.redis_token), registry, None)
        ...
    print(proxy.struck)

The local Upstash misbehaves on request as well, for what the server itself does wrong; this one does what only
something in between can do: requests that arrive late, twice, in another order or not at all, connections that are
reset amid a body. It stands before any server that speaks HTTP: a real database too, or QStash.

It needs httpx and h11: `pip install eventsource-upstash[testing]`.
"""

from .faults import KINDS, Faults, Listed, Seeded, Strike
from .server import FaultyProxy

__all__ = ["KINDS", "Faults", "FaultyProxy", "Listed", "Seeded", "Strike"]
