"""The Redis backend: log and views in an Upstash Redis, over its REST API."""

from .backend import UpstashRedis

__all__ = ["UpstashRedis"]
