"""The local Upstash: Redis over REST, QStash, and Kafka over REST on this machine, for development and tests only."""

from .engine import EngineUnavailable
from .faults import Fault, Faults
from .kafka.half import KafkaSettings
from .qstash.settings import Settings
from .redis.commands import Limits
from .server import LocalUpstash, PortTaken

__all__ = ["EngineUnavailable", "Fault", "Faults", "KafkaSettings", "Limits", "LocalUpstash", "PortTaken", "Settings"]
