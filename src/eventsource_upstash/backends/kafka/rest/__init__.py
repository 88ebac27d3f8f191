"""Kafka over HTTP: for functions that hold no connection."""

from .settings import Dialect
from .topic import RestTopic

__all__ = ["Dialect", "RestTopic"]
