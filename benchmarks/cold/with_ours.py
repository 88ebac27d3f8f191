"""A cold start with this library: import, register, connect, and the first append."""

from dataclasses import dataclass

from eventsource_upstash import Registry, connect
from eventsource_upstash.backends.redis import UpstashRedis

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


app = connect(UpstashRedis.from_env(), registry)
assert app.event_store.append("task-1", TaskCreated("1", "Do the dishes!")).position
