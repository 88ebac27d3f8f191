"""The local Upstash: Redis over REST and QStash on this machine, for development and tests only."""

from __future__ import annotations
