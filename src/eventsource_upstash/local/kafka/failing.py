"""What each failure is answered with, whatever the shape."""

from __future__ import annotations

from typing import Final, TypeAlias

from .answering import Refusal
from .formats import ILLEGAL_STATE, KAFKA_ERROR, KAFKA_RETRIABLE, PARTITION_NOT_FOUND, TOPIC_NOT_FOUND
from .groups import IllegalState, NoOffset
from .records import KafkaFailed, NoSuchPartition, NoSuchTopic, OutOfRange

__all__ = ["FAILURES", "Failure", "as_refusal", "code_of"]

Failure: TypeAlias = "Refusal | NoSuchTopic | NoSuchPartition | OutOfRange | NoOffset | IllegalState | KafkaFailed"

FAILURES: Final = (Refusal, NoSuchTopic, NoSuchPartition, OutOfRange, NoOffset, IllegalState, KafkaFailed)

_TOO_LARGE: Final = "MSG_SIZE_TOO_LARGE"


def as_refusal(failure: Failure) -> Refusal:
    """The answer to it: status, words, and the finer code that Confluent's shape has."""
    match failure:
        case Refusal():
            return failure
        case NoSuchTopic():
            return Refusal(404, f"Topic not found: {failure}", TOPIC_NOT_FOUND)
        case NoSuchPartition():
            return Refusal(404, f"Partition not found: {failure}", PARTITION_NOT_FOUND)
        case OutOfRange() | NoOffset():
            return Refusal(400, str(failure))
        case IllegalState():
            return Refusal(409, f"Illegal state: {failure}", ILLEGAL_STATE)
        case KafkaFailed():
            status = 413 if failure.name == _TOO_LARGE else 500
            return Refusal(status, f"Kafka error: {failure}", 413 if status == 413 else code_of(failure))


def code_of(failure: KafkaFailed) -> int:
    """Confluent's code for it."""
    return KAFKA_RETRIABLE if failure.retriable else KAFKA_ERROR
