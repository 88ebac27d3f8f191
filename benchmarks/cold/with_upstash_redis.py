"""A cold start with upstash-redis: import, and one command."""

from upstash_redis import Redis

assert Redis.from_env().rpush("tasks", "Do the dishes!")
