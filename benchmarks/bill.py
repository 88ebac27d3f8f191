"""What is billed, and at which prices."""

from __future__ import annotations

from dataclasses import dataclass

# Dollars for 100,000, pay as you go, one region; Kafka's are those of its last year.
REDIS_COMMANDS, QSTASH_MESSAGES, KAFKA_MESSAGES = 0.20, 1.00, 0.60


@dataclass(frozen=True)
class Bill:
    """Per action. `requests`: HTTP requests that the app makes; they cost time, not money."""

    requests: float
    commands: float
    qstash: float = 0.0
    kafka: float = 0.0

    @property
    def dollars(self) -> float:
        """Of a million actions."""
        hundred_thousand = self.commands * REDIS_COMMANDS + self.qstash * QSTASH_MESSAGES + self.kafka * KAFKA_MESSAGES
        return 10 * hundred_thousand
