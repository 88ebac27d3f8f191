"""Records as the API shows them: the fields of the vendor's description, and no others but those its SDKs read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from .records import DeadLetter, Event, Message, Options, Schedule, UrlGroup
from .store import Store

__all__ = ["dead_letter_view", "event_view", "group_view", "header_lists", "message_view", "schedule_view"]


def header_lists(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Headers as the API writes them: every name with all its values."""
    lists: dict[str, list[str]] = {}
    for name, value in headers:
        lists.setdefault(name, []).append(value)
    return lists


def message_view(message: Message) -> dict[str, object]:
    """A message."""
    return _present(
        {
            "messageId": message.id,
            "url": message.url,
            "topicName": message.topic,
            "endpointName": message.endpoint,
            "queueName": message.queue,
            "scheduleId": message.schedule,
            "method": message.options.method,
            "maxRetries": message.options.retries,
            "notBefore": message.due,
            "createdAt": message.created_at,
            "callerIP": message.caller,
            **_body(message.body, message.options.redact),
            **_options(message.options),
        }
    )


def dead_letter_view(letter: DeadLetter) -> dict[str, object]:
    """A dead letter: its message, and the last answer to it."""
    answer = letter.answer
    text = _text(answer.body)
    return message_view(letter.message) | _present(
        {
            "dlqId": letter.id,
            # The Python SDK reads it always, also when there was no response.
            "responseStatus": answer.status,
            "responseHeader": header_lists(answer.headers),
            "responseBody": answer.error if answer.error is not None else text,
            "responseBodyBase64": base64.b64encode(answer.body).decode() if text is None else None,
        }
    )


def event_view(event: Event, store: Store) -> dict[str, object]:
    """A line of the log. The body is shown as long as the message, or its dead letter, is kept."""
    message = store.messages.get(event.message)
    options, answer = event.options, event.answer
    view = {
        "time": event.time,
        "messageId": event.message,
        "state": event.state,
        "url": event.url,
        "topicName": event.topic,
        "endpointName": event.endpoint,
        "queueName": event.queue,
        "scheduleId": event.schedule,
        "error": event.error,
        "nextDeliveryTime": event.next,
        "method": options.method,
        "maxRetries": options.retries,
        "timeout": options.timeout,
        **_options(options),
        # The log has names of its own for these two.
        "callbackHeaders": _prefixed(options.callback_headers),
        "failureCallbackHeaders": _prefixed(options.failure_callback_headers),
        "callbackHeader": None,
        "failureCallbackHeader": None,
        "retryDelayExpr": options.retry_delay,
    }
    if message is not None and message.body:
        redacted = "body" in options.redact
        view["body"] = _redacted(message.body) if redacted else base64.b64encode(message.body).decode()
    if answer is not None:
        headers = header_lists(answer.headers)
        view |= {
            "responseStatus": answer.status or None,
            "responseBody": base64.b64encode(answer.body).decode(),
            # `responseHeaders` in the description, `responseHeader` in the Python SDK.
            "responseHeaders": headers,
            "responseHeader": headers,
        }
    return _present(view)


def schedule_view(schedule: Schedule) -> dict[str, object]:
    """A schedule."""
    options = schedule.options
    return _present(
        {
            "scheduleId": schedule.id,
            "cron": schedule.cron,
            "destination": schedule.destination,
            "createdAt": schedule.created_at,
            "method": options.method,
            "retries": options.retries,
            "delay": options.delay // 1000 or None,
            "timeout": None if options.timeout is None else options.timeout // 1000,
            "queueName": schedule.queue,
            # `callerIp` in the description, `callerIP` in the Python SDK.
            "callerIp": schedule.caller,
            "callerIP": schedule.caller,
            "isPaused": schedule.paused,
            "lastScheduleTime": schedule.last,
            "nextScheduleTime": schedule.next,
            "lastScheduleStates": schedule.states or None,
            "error": schedule.error,
            **_body(schedule.body, options.redact),
            **_options(options),
        }
    )


def group_view(group: UrlGroup) -> dict[str, object]:
    """A URL group."""
    return {
        "name": group.name,
        "createdAt": group.created_at,
        "updatedAt": group.updated_at,
        "endpoints": [_present({"name": endpoint.name, "url": endpoint.url}) for endpoint in group.endpoints],
    }


def _options(options: Options) -> dict[str, object]:
    flow = options.flow
    return {
        "header": _shown(options),
        "callback": options.callback,
        "failureCallback": options.failure_callback,
        "callbackHeader": _prefixed(options.callback_headers),
        "failureCallbackHeader": _prefixed(options.failure_callback_headers),
        "retryDelayExpression": options.retry_delay,
        "label": options.labels[0] if options.labels else None,
        "labels": options.labels or None,
        "flowControlKey": None if flow is None else flow.key,
        "parallelism": None if flow is None else flow.parallelism,
        "rate": None if flow is None else flow.rate,
        "period": None if flow is None else flow.period,
    }


def _shown(options: Options) -> dict[str, list[str]]:
    shown = header_lists(options.headers)
    for name, values in shown.items():
        if "headers" in options.redact or f"header[{name.lower()}]" in options.redact:
            shown[name] = [_redacted(value.encode()) for value in values]
    return shown


def _prefixed(headers: dict[str, str]) -> dict[str, list[str]] | None:
    return {name.title(): [value] for name, value in headers.items()} or None


def _body(body: bytes, redact: list[str]) -> dict[str, object]:
    if not body:
        return {}
    if "body" in redact:
        return {"body": _redacted(body)}
    text = _text(body)
    return {"bodyBase64": base64.b64encode(body).decode()} if text is None else {"body": text}


def _redacted(value: bytes) -> str:
    return f"REDACTED:{hashlib.sha256(value).hexdigest()}"


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _present(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
