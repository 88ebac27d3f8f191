"""The local Upstash: Redis over REST and QStash on this machine, for development and tests only."""

from .engine import EngineUnavailable
from .faults import Fault, Faults
from .qstash.settings import Settings
from .redis.commands import Limits
from .server import LocalUpstash, PortTaken

__all__ = ["EngineUnavailable", "Fault", "Faults", "Limits", "LocalUpstash", "PortTaken", "Settings"]
