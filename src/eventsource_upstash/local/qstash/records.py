"""What is kept: one plain record per noun, as MessagePack in Valkey. Times are Unix milliseconds."""

from __future__ import annotations

import msgspec

from ..metering import ANONYMOUS

__all__ = [
    "Answer",
    "ClockSetting",
    "DeadLetter",
    "Deduplication",
    "Endpoint",
    "Event",
    "FlowControl",
    "FlowKey",
    "Keys",
    "Message",
    "Options",
    "Queue",
    "Schedule",
    "UrlGroup",
]


class FlowControl(msgspec.Struct, omit_defaults=True, frozen=True):
    """What one message asks of its flow control key. `period` in seconds."""

    key: str
    parallelism: int | None = None
    rate: int | None = None
    period: int = 1


class Options(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How a message is to be delivered: what the headers of a publish say.

    Attributes:
        headers: Sent to the destination: `Content-Type` and what came as `Upstash-Forward-*`.
        timeout: Milliseconds that the destination may take, or None: what the plan allows.
        retry_delay: The expression for the delay, or None: the documented back-off.
        callback_headers: What came as `Upstash-Callback-*`, without the prefix, in lower case.
        failure_callback_headers: What came as `Upstash-Failure-Callback-*`, likewise.
        redact: What is not shown: `body`, `headers`, `header[name]`.
    """

    method: str = "POST"
    headers: list[tuple[str, str]] = []
    retries: int = 3
    retry_delay: str | None = None
    timeout: int | None = None
    delay: int = 0
    not_before: int | None = None
    callback: str | None = None
    callback_headers: dict[str, str] = {}
    failure_callback: str | None = None
    failure_callback_headers: dict[str, str] = {}
    labels: list[str] = []
    flow: FlowControl | None = None
    redact: list[str] = []
    deduplication_id: str | None = None
    content_based: bool = False


class Message(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message that is not yet delivered.

    Attributes:
        number: Rises with every message: the order in which they came in.
        due: When the next attempt is to be made.
        retried: How many attempts were made before the next one, apart from the first.
        slot: The message whose place at its queue's head this one shares: its own id, or that of the message whose
            callback it is.
        caller: The address of whoever published it; `agent`: the name under which its cost is counted.
        cancelled: It is in flight, and is not to be tried again.
    """

    id: str
    number: int
    url: str
    body: bytes = b""
    options: Options
    created_at: int
    due: int
    retried: int = 0
    topic: str | None = None
    endpoint: str | None = None
    queue: str | None = None
    slot: str | None = None
    schedule: str | None = None
    caller: str = ""
    agent: str = ANONYMOUS
    cancelled: bool = False


class Answer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What came back from a destination. `status` 0: nothing did, and `error` says why."""

    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether it counts as delivered: 200 to 299."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class DeadLetter(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message that is tried no more, and the last answer to it."""

    id: str
    number: int
    message: Message
    answer: Answer
    failed_at: int


class Deduplication(msgspec.Struct):
    """A deduplication id: the message that it let in, and until when it counts."""

    message: str
    until: int


class Schedule(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message that is published whenever its cron expression says so."""

    id: str
    cron: str
    destination: str
    created_at: int
    next: int
    options: Options
    body: bytes = b""
    queue: str | None = None
    caller: str = ""
    agent: str = ANONYMOUS
    paused: bool = False
    last: int | None = None
    states: dict[str, str] = {}
    error: str | None = None


class Endpoint(msgspec.Struct, omit_defaults=True):
    """One destination of a URL group."""

    url: str
    name: str | None = None


class UrlGroup(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A URL group, which the API calls a topic."""

    name: str
    created_at: int
    updated_at: int
    endpoints: list[Endpoint] = []


class Queue(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A queue: how many of its messages may be under way at a time."""

    name: str
    created_at: int
    updated_at: int
    parallelism: int = 1
    paused: bool = False


class FlowKey(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is known of a flow control key: its limits, and how much of its rate is used in the present period."""

    key: str
    parallelism: int | None = None
    rate: int | None = None
    period: int = 1
    pinned_parallelism: int | None = None
    pinned_rate: int | None = None
    pinned_period: int = 1
    paused: bool = False
    started: int = 0
    count: int = 0


class Keys(msgspec.Struct):
    """The signing keys."""

    current: str
    next: str


class ClockSetting(msgspec.Struct):
    """How far the clock was moved."""

    offset: int
    frozen: int | None


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A line of the log."""

    number: int
    time: int
    message: str
    state: str
    url: str
    topic: str | None = None
    endpoint: str | None = None
    queue: str | None = None
    schedule: str | None = None
    error: str | None = None
    next: int | None = None
    answer: Answer | None = None
    options: Options
