"""How records stand in requests and answers of Confluent's REST Proxy v2: content types, embedded formats, errors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from .answering import Call, Refusal
from .records import Message

__all__ = [
    "CONSUMER_EXISTS",
    "CONSUMER_NOT_FOUND",
    "FORMAT_MISMATCH",
    "ILLEGAL_STATE",
    "INVALID_CONSUMER",
    "KAFKA_ERROR",
    "KAFKA_RETRIABLE",
    "OUT_OF_RANGE",
    "PARTITION_NOT_FOUND",
    "PLAIN",
    "TOPIC_NOT_FOUND",
    "Format",
    "accepted",
    "decoded",
    "embedded",
    "from_base64",
    "listed",
    "type_of",
]

Format = Literal["binary", "json"]

OUT_OF_RANGE: Final = 40002
TOPIC_NOT_FOUND: Final = 40401
PARTITION_NOT_FOUND: Final = 40402
CONSUMER_NOT_FOUND: Final = 40403
FORMAT_MISMATCH: Final = 40601
CONSUMER_EXISTS: Final = 40902
ILLEGAL_STATE: Final = 40903
INVALID_CONSUMER: Final = 42204
KAFKA_ERROR: Final = 50002
KAFKA_RETRIABLE: Final = 50003

PLAIN: Final = "application/vnd.kafka.v2+json"
"""Of answers that hold no records."""

_FORMATS: Final[dict[str, Format]] = {
    "application/vnd.kafka.binary.v2+json": "binary",
    "application/vnd.kafka.json.v2+json": "json",
}


def type_of(format: Format) -> str:
    """The content type of records in this format."""
    return f"application/vnd.kafka.{format}.v2+json"


def embedded(call: Call) -> Format:
    """The format of the records in a request.

    Raises:
        Refusal: There is none, or it needs a schema registry.
    """
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _FORMATS:
        raise Refusal(415, f"HTTP 415 Unsupported Media Type: the types of records here are: {', '.join(_FORMATS)}")
    return _FORMATS[kind]


def accepted(call: Call, format: Format) -> None:
    """See that the caller takes records in this format.

    Raises:
        Refusal: It does not.
    """
    kinds = {kind.partition(";")[0].strip().lower() for kind in call.headers.get("Accept", "*/*").split(",")}
    general = {PLAIN} if format == "binary" else set[str]()
    if not kinds & (general | {"*/*", "application/*", type_of(format)}):
        raise Refusal(
            406,
            "The requested embedded data format does not match the deserializer for this consumer instance",
            FORMAT_MISMATCH,
        )


def decoded(value: msgspec.Raw, format: Format) -> bytes | None:
    """A key or value as it is to stand in Kafka.

    Args:
        value: As it stood in the request: JSON as it is, or base64 in a string.
        format: Which of both.

    Raises:
        Refusal: It is no base64.
    """
    raw = bytes(value)
    if raw in {b"", b"null"}:
        return None
    if format == "json":
        return raw
    try:
        return from_base64(msgspec.json.decode(raw, type=str))
    except (ValueError, RecursionError) as error:
        raise Refusal(422, "keys and values of the format binary are strings, in base64") from error


def from_base64(text: str) -> bytes:
    """Bytes.

    Raises:
        Refusal: It is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "a key, value or header is no base64") from error


def listed(messages: Sequence[Message], format: Format) -> list[dict[str, object]]:
    """Records as they stand in an answer.

    Raises:
        Refusal: One is no JSON, and JSON was asked for.
    """
    return [
        {
            "topic": message.topic,
            "key": _encoded(message, message.key, format),
            "value": _encoded(message, message.value, format),
            "partition": message.partition,
            "offset": message.offset,
        }
        for message in messages
    ]


def _encoded(message: Message, value: bytes | None, format: Format) -> object:
    if value is None:
        return None
    if format == "binary":
        return base64.b64encode(value).decode()
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(
            500,
            f"Kafka error: offset {message.offset} of partition {message.partition} of topic {message.topic!r} is no "
            "JSON: read it in the format binary",
            KAFKA_ERROR,
        ) from error
    return msgspec.Raw(value)
