"""The Kafka backend: the log is a topic; the views are another backend's."""

from .backend import Kafka
from .records import FOREIGN
from .topic import Bounds, Fetched, NewRecord, OutOfRange, Record, Topic, TopicClient

__all__ = ["FOREIGN", "Bounds", "Fetched", "Kafka", "NewRecord", "OutOfRange", "Record", "Topic", "TopicClient"]
