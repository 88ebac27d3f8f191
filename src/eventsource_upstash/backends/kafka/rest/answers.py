"""What a server of Kafka over REST answers when something is wrong, and what that means to a caller.

Upstash: `{"error": ..., "status": 404}` (https://upstash.com/docs/kafka/rest/restintro, section Responses).
Confluent: `{"error_code": 40401, "message": ...}`, whose first three digits are the HTTP status
(https://docs.confluent.io/platform/current/kafka-rest/api.html, section Errors); Karapace and Redpanda have taken that
over (`karapace/kafka_rest_apis/error_codes.py`, `src/v/pandaproxy/error.h` in their repositories).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from ...._io.port import HttpResponse
from ...._io.retrying import retry_after
from ...sending import Trouble, by_status, quoted

CHECK_URL: Final = "Check the URL and the dialect: something else answers there"
CHECK_USER: Final = "Check the user name and the password of Kafka's REST API"
CHECK_RIGHTS: Final = "The user may not do this: it needs the rights to read the topic, and to write to it"
CHECK_TOPIC: Final = (
    "The server knows no such topic, or no such path: create the topic (it is never created by itself), or check the "
    "URL and the dialect"
)

TOO_LARGE: Final = "too large"
"""The text of the trouble of a record that is too large, alone."""


class Problem(NamedTuple):
    """An error in a server's own words.

    Attributes:
        status: The HTTP status.
        code: Its error code; the status where there is none.
        text: What it says.
    """

    status: int
    code: int
    text: str


class _Body(msgspec.Struct):
    error_code: int | None = None
    message: str | None = None
    error: str | None = None


_decoder: Final = msgspec.json.Decoder(_Body)

_MUCH: Final = re.compile(
    r"(?i)too.?large|larger than|size exceed|max(imum)? (message|request|record) size|MSG_SIZE|RecordBatchTooLarge"
)
_RIGHTS: Final = re.compile(r"(?i)\bauthoriz|not authori[sz]ed|_AUTHORIZATION_FAILED|forbidden|access denied")
_NO_TOPIC: Final = re.compile(
    r"(?i)unknown.?topic|topic (.{0,260} )?(not found|does not exist)|does not host this topic|invalid.?topic"
    r"|no such (topic|partition)"
)
_UNSENT: Final = re.compile(r"(?i)not present in metadata|producer buffer full|failed to allocate memory")
_PENDING: Final = re.compile(r"(?i)leader.?not.?available|not.?leader|coordinator|broker.?not.?available")


def problem_in(answer: HttpResponse) -> Problem | None:
    """The error that an answer holds; None where it is in no words of such a server."""
    try:
        body = _decoder.decode(answer.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    text = body.message or body.error
    if text is None and body.error_code is None:
        return None
    return Problem(answer.status, body.error_code or answer.status, text or "")


def trouble_in(answer: HttpResponse, problem: Problem | None, *, writes: bool) -> Trouble:
    """What an answer other than the one hoped for means."""
    if problem is None:
        trouble = by_status(
            answer.status, answer.headers, api="Kafka's REST API", check_url=CHECK_URL, check_secret=CHECK_USER
        )
        if writes and answer.status in (413, 431):
            return Trouble(TOO_LARGE, unknown=False, again=False)
        # "Request timeout" may be said of Kafka's answer that did not come.
        return trouble._replace(unknown=True) if writes and answer.status == 408 else trouble
    told = error_means(problem, writes=writes)
    return told._replace(at_least=retry_after(answer.headers)) if told.again else told


def error_means(problem: Problem, *, writes: bool) -> Trouble:
    """What an error means, by its code, and where that says little, by its words."""
    status = problem.code // 100 if problem.code >= 10_000 else problem.code
    # The words of an error about what was written may repeat it.
    words = "" if writes and status in (400, 413, 422) else f": {quoted(problem.text)}"
    what = f"answered error {problem.code}{words}"
    if writes and (status == 413 or _MUCH.search(problem.text)):
        return Trouble(TOO_LARGE, unknown=False, again=False)
    if status in (401, 407):
        return Trouble(what, unknown=False, again=False, remedy=CHECK_USER)
    if status == 403 or _RIGHTS.search(problem.text):
        return Trouble(what, unknown=False, again=False, remedy=CHECK_RIGHTS)
    if status in (425, 429):
        return Trouble(what, unknown=False, remedy="Too many requests: try again later")
    if _PENDING.search(problem.text):
        return Trouble(what, unknown=writes and status >= 500, remedy="Kafka is not ready: try again later")
    if status == 404 or (status < 500 and _NO_TOPIC.search(problem.text)):
        return Trouble(what, unknown=False, again=False, remedy=CHECK_TOPIC)
    if status == 408 or not 300 <= status < 500:
        return Trouble(what, unknown=True)
    return Trouble(what, unknown=False, again=False, remedy=CHECK_URL)


# Codes of Kafka's protocol, as Redpanda's proxy hands them on: https://kafka.apache.org/protocol, section Error Codes.
_KAFKA_CODES: Final = {3: "topic", 17: "topic", 10: "size", 18: "size", 29: "rights", 31: "rights"}


def record_error_means(code: int, text: str) -> Trouble:
    """What the error of one record means, which stands in an answer of status 200 (Karapace: 422) beside its offset.

    Confluent has 1 for errors that no retry can help, and 2 for others (api.html, POST /topics/(string:topic_name)), or
    50002 and 50003; Karapace has 1 for a timeout too, and Redpanda codes of Kafka's protocol. So what is not known for
    sure to have kept the record out may not have.
    """
    kind = _KAFKA_CODES.get(code, "") if not text else ""
    what = f"answered error {code} for the record"
    if kind == "size" or _MUCH.search(text):
        return Trouble(TOO_LARGE, unknown=False, again=False)
    if kind == "rights" or _RIGHTS.search(text):
        return Trouble(what, unknown=False, again=False, remedy=CHECK_RIGHTS)
    if _UNSENT.search(text):
        return Trouble(what, unknown=False, remedy="Kafka is not ready, or has no such topic: try again later")
    if kind == "topic" or _NO_TOPIC.search(text):
        return Trouble(what, unknown=False, again=False, remedy=CHECK_TOPIC)
    return Trouble(what, unknown=True)
