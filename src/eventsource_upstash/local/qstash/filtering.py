"""Which messages, dead letters or lines of the log a request means: filters, ids, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

from .errors import ApiError
from .records import Message

__all__ = ["IN_PROGRESS", "Filter", "page"]

IN_PROGRESS: Final = frozenset({"ACTIVE", "RETRY", "ERROR"})
"""What `state=IN_PROGRESS` stands for in the log."""

_NAMES: Final = (
    "messageId",
    "messageIds",
    "dlqIds",
    "state",
    "url",
    "host",
    "path",
    "topicName",
    "queueName",
    "scheduleId",
    "responseStatus",
    "callerIp",
    "label",
    "flowControlKey",
)

T = TypeVar("T")


@dataclass(frozen=True)
class Filter:
    """What is asked for: within one name any of the values, over the names all of them."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    since: int | None = None
    until: int | None = None
    cursor: str | None = None
    count: int | None = None

    @classmethod
    def parse(cls, query: Iterable[tuple[str, str]]) -> Filter:
        """Read the parameters of a request. Lists come by repetition, or with commas.

        Raises:
            ApiError: 400, a number is none.
        """
        values: dict[str, set[str]] = {}
        single: dict[str, str] = {}
        for name, value in query:
            known = {"callerIP": "callerIp", "urlGroup": "topicName"}.get(name, name)
            if known in _NAMES:
                # A URL may hold commas of its own.
                parts = [value] if known in {"url", "path"} else value.split(",")
                values.setdefault(known, set()).update(part.strip() for part in parts if part.strip())
            else:
                single[name] = value
        return cls(
            {name: frozenset(wanted) for name, wanted in values.items()},
            since=_number("fromDate", single.get("fromDate")),
            until=_number("toDate", single.get("toDate")),
            cursor=single.get("cursor") or None,
            count=_number("count", single.get("count")),
        )

    def ids(self, name: str) -> frozenset[str] | None:
        """The ids that are asked for by name, which make every other filter void. None: not by ids."""
        return self.values.get(name)

    def admits(self, message: Message, time: int, **more: str | None) -> bool:
        """Whether a message is among what is asked for.

        Args:
            message: The message, or what is known of it.
            time: What `fromDate` and `toDate` are about, in Unix milliseconds.
            more: Further things that can be asked for, by their names.
        """
        if (self.since is not None and time < self.since) or (self.until is not None and time > self.until):
            return False
        parts = urlsplit(message.url)
        flow = message.options.flow
        facts: dict[str, str | None] = {
            "messageId": message.id,
            "url": message.url,
            "host": parts.netloc,
            "path": parts.path,
            "topicName": message.topic,
            "queueName": message.queue,
            "scheduleId": message.schedule,
            "callerIp": message.caller,
            "flowControlKey": None if flow is None else flow.key,
            **more,
        }
        for name, wanted in self.values.items():
            if name == "label":
                if wanted.isdisjoint(message.options.labels):
                    return False
            elif name in facts and facts[name] not in wanted:
                return False
        return True


def page(found: Iterable[T], number: Callable[[T], int], filter: Filter, most: int) -> tuple[list[T], str | None]:
    """One page of what was found, the newest first, and the cursor of the next, if there is one.

    Args:
        found: Everything that matches.
        number: Rises from one to the next; the cursor holds it, so that what goes or comes meanwhile shifts nothing.
        filter: Says where to begin, and how many.
        most: How many at most, and if the filter does not say.
    """
    before = _number("cursor", filter.cursor)
    rest = sorted((one for one in found if before is None or number(one) < before), key=number, reverse=True)
    count = most if filter.count is None else max(1, min(filter.count, most))
    taken = rest[:count]
    return taken, str(number(taken[-1])) if len(rest) > count else None


def _number(name: str, value: str | None) -> int | None:
    if value is None or not value:
        return None
    if not value.isdecimal() or len(value) > 18:
        raise ApiError(400, f"invalid {name} {value!r}: it is a whole number")
    return int(value)
