"""What errors of librdkafka's mean to a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ....errors import EventSourceError, Misuse, OutcomeUnknown, Refused, Unavailable
from .librdkafka import MECHANISMS, Settings, clean

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

# Names of errors; those that librdkafka raises itself begin with an underscore.
NO_TOPIC: Final = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION")
NOT_KNOWN: Final = ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED")
NO_MECHANISM: Final = ("UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE")
NO_TLS: Final = ("_SSL",)
NO_RIGHTS: Final = (
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
)
TOO_LARGE: Final = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE")
NOT_TAKEN: Final = (
    "POLICY_VIOLATION",
    "INVALID_RECORD",
    "INVALID_TIMESTAMP",
    "TOPIC_EXCEPTION",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "UNSUPPORTED_VERSION",
    "_UNSUPPORTED_FEATURE",
)
NOT_WRITTEN: Final = ("NOT_ENOUGH_REPLICAS", "THROTTLING_QUOTA_EXCEEDED", "_PURGE_QUEUE", "_QUEUE_FULL")
"""After these a record was not written, and may be taken later."""

OUT_OF_RANGE: Final = ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET", "_LOG_TRUNCATION")
END: Final = "_PARTITION_EOF"
FOR_GROUPS: Final = ("GROUP_AUTHORIZATION_FAILED",)
"""Nobody joins a group here: what a user may not do in one does not matter."""


class Meanings:
    """What errors of librdkafka's mean to a caller.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._secrets = settings.secrets()
        self._topic = topic

    def said(self, error: KafkaError) -> str:
        """What librdkafka says of an error, without secrets."""
        return clean(f"{error.str()} ({error.name()})".replace("\n", " "), self._secrets)

    @property
    def where(self) -> str:
        """The topic and the cluster, for messages."""
        return f"topic {self._topic!r} at {self._settings.servers}"

    def connecting(self, error: KafkaError) -> EventSourceError | None:
        """As `refusal`, of what is reported by the way: of connections only. Of topics it may be long past."""
        return self.refusal(error) if error.name() in (*NOT_KNOWN, *NO_MECHANISM, *NO_TLS) else None

    def refusal(self, error: KafkaError) -> EventSourceError | None:
        """What an error means that trying again does not mend, and after which nothing was written; else None."""
        code, said = error.name(), self.said(error)
        if code in NO_TOPIC:
            return Refused(
                f"{self.where} is not there; nothing was written. Create it, with as many partitions as it is to have: "
                f"kafka-topics.sh --create --topic {self._topic} --partitions N; none is ever created by itself"
            )
        if code in NO_MECHANISM:
            return Refused(
                f"{self.where}: the broker does not take the mechanism {self._settings.mechanism}; nothing was "
                f"written. Name one that it takes, of {', '.join(MECHANISMS)}. It says: {said}"
            )
        if code in NOT_KNOWN:
            return Refused(
                f"{self.where}: the broker does not take the user name and password; nothing was written. Check them, "
                f"and the mechanism ({self._settings.mechanism}). It says: {said}"
            )
        if code in NO_TLS:
            return Refused(
                f"{self.where}: no encrypted connection; nothing was written. Check whether the broker speaks TLS at "
                f"that port, and which authority signed its certificate (ca=). It says: {said}"
            )
        if code in NO_RIGHTS:
            return Refused(
                f"{self.where}: this user may not do that; nothing was written. It needs the rights to describe, read "
                "and write the topic, and, to write several events at once, to describe and write transactional ids "
                f"that begin with its name. It says: {said}"
            )
        if code in NOT_TAKEN:
            return Refused(f"{self.where}: the broker does not take it, and will not: {said}; nothing was written")
        return None

    def reading(self, error: KafkaError | None) -> EventSourceError:
        """What an error of a read means."""
        if error is None:
            return Unavailable(
                f"{self.where} did not answer within {self._settings.timeout:g} s; nothing was written. Try again, or "
                "allow a longer timeout"
            )
        return self.refusal(error) or Unavailable(
            f"{self.where} cannot be read now: {self.said(error)}; nothing was written. Try again; if it lasts, check "
            "the addresses, and whether the brokers want TLS or a user name"
        )

    def writing(self, error: KafkaError) -> EventSourceError:
        """What an error of a delivery means: `OutcomeUnknown` wherever the record may have been written."""
        refusal = self.refusal(error)
        if refusal is not None:
            return refusal
        if error.name() in NOT_WRITTEN:
            return self.handing_over(error)
        return self.unknown(self.said(error))

    def handing_over(self, error: KafkaError) -> EventSourceError:
        """What an error means that came before anything was sent."""
        return self.refusal(error) or Unavailable(
            f"{self.where} takes no records now: {self.said(error)}; nothing was written. Try again"
        )

    def unknown(self, said: str) -> OutcomeUnknown:
        """The answer to a write was lost."""
        return OutcomeUnknown(
            f"{self.where}: the answer to a write was lost: {said}. Whether it was written shows when the end of its "
            "partition is read; the same call with the same idempotency key is safe"
        )

    def configuration(self, error: BaseException) -> Misuse:
        """Options that librdkafka does not take."""
        return Misuse(
            f"{self.where}: librdkafka does not take its options: {clean(str(error), self._secrets)}. See its "
            "CONFIGURATION.md for their names and values"
        )
