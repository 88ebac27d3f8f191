"""A topic over Kafka's own protocol, by the package confluent-kafka."""

from .topic import NativeTopic

__all__ = ["NativeTopic"]
