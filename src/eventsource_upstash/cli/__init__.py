"""The command `eventsource-upstash`."""

from .main import main

__all__ = ["main"]
