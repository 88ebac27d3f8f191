"""The Redis backend: log and views in an Upstash Redis, over its REST API; keys in another."""

from .backend import UpstashRedis
from .subject_keys import UpstashKeys

__all__ = ["UpstashKeys", "UpstashRedis"]
