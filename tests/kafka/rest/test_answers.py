"""What answers mean: what is tried again, what may have been written, what never stands in a message."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Refused, TooLarge, Unavailable
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.topic import NewRecord
from tests.faults.transport.support import Said
from tests.kafka.rest.double import DIALECTS, PASSWORD, USER
from tests.kafka.rest.test_shapes import opened, run, said

URL = "https://kafka.example.com"
SECRET = "customer-4711-has-debts"
RECORD = NewRecord(b"k", SECRET.encode(), 1)

UPSTASH: Dialect = "upstash"
HTML = HttpResponse(502, {"content-type": "text/html"}, b"<html>Bad gateway</html>")


def write(port: Said, dialect: Dialect) -> object:
    return run(opened(port, URL, "todo", dialect, cluster="c", total_timeout=20.0).produce(0, [RECORD]))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        HttpResponse(200, {"content-type": "text/html"}, b"<html>Sign in</html>"),
        HttpResponse(200, {}, b""),
        HttpResponse(200, {"content-type": "application/json"}, b'{"welcome":true}'),
        HttpResponse(200, {"content-type": "application/json"}, b'{"offsets":[{"partition":0,'),
        HttpResponse(500, {"content-type": "application/json"}, b'{"error_code":50003,"message":"Retriable"}'),
        HttpResponse(503, {"content-type": "application/json"}, b'{"error":"try later","status":503}'),
        HttpResponse(504, {}, b""),
        HttpResponse(408, {"content-type": "application/json"}, b'{"error_code":408,"message":"timed out"}'),
        HttpResponse(408, {"content-type": "text/html"}, b"<html>Request timeout</html>"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:12].decode()}",
)
def test_an_append_with_no_answer_may_have_been_written_and_is_not_sent_again(
    dialect: Dialect, answer: HttpResponse
) -> None:
    port = Said(answer)
    with pytest.raises(OutcomeUnknown, match=r"partition 0.*whether it was written is not known.*not sent again"):
        write(port, dialect)
    assert len(port.sent) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [429, 425])
def test_an_append_that_was_turned_away_is_tried_again_when_the_server_says(dialect: Dialect, status: int) -> None:
    port = Said(HttpResponse(status, {"retry-after": "2"}, b'{"error_code":429,"message":"Rate limit exceeded"}'))
    with pytest.raises(Unavailable, match="nothing was written"):
        write(port, dialect)
    assert len(port.sent) == 6
    assert all(seconds >= 2 for seconds in port.slept)


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        ("upstash", (413, {"error": "Request too large", "status": 413})),
        ("upstash", (400, {"error": "The message is 2000000 bytes when serialized which is larger than 1048576"})),
        ("confluent", {"offsets": [{"error_code": 1, "error": "The request included a message larger than the max"}]}),
        ("confluent", (422, {"offsets": [{"error_code": 1, "error": "MSG_SIZE_TOO_LARGE: too large"}]})),
        ("confluent", (500, {"error_code": 50002, "message": "Kafka error: RecordTooLargeException"})),
        ("confluent-v3", (413, {"error_code": 413, "message": "Request Entity Too Large"})),
        ("confluent-v3", {"error_code": 413, "message": "larger than the maximum message size the server can accept"}),
        ("redpanda", {"offsets": [{"partition": 0, "error_code": 10, "offset": -1}]}),
        ("redpanda", (413, "<html>")),
    ],
)
def test_too_large(dialect: Dialect, answer: object) -> None:
    port = said(answer)
    with pytest.raises(TooLarge, match="nothing was written") as caught:
        write(port, dialect)
    assert len(port.sent) == 1
    assert SECRET not in str(caught.value)


# https://docs.confluent.io/platform/current/kafka-rest/api.html: 1 for errors that no retry helps, 2 for others;
# Karapace, `produce_messages`: 1 for time-outs as well, with status 422; Redpanda: codes of Kafka's protocol.
@pytest.mark.parametrize(
    ("dialect", "answer", "error"),
    [
        ("confluent", {"offsets": [{"error_code": 2, "error": "Expiring 1 record(s) for test-0"}]}, OutcomeUnknown),
        ("confluent", {"offsets": [{"error_code": 50003, "error": "NotEnoughReplicasAfterAppend"}]}, OutcomeUnknown),
        (
            "confluent",
            {"offsets": [{"error_code": 1, "error": "The server experienced an unexpected error"}]},
            OutcomeUnknown,
        ),
        ("confluent", {"offsets": [{"error_code": 1, "error": "Not authorized to access topics: [todo]"}]}, Refused),
        (
            "confluent",
            {"offsets": [{"error_code": 2, "error": "Topic todo not present in metadata after 60000 ms."}]},
            Unavailable,
        ),
        (
            "confluent",
            (422, {"offsets": [{"error_code": 1, "error": "timed out waiting to publish message"}]}),
            OutcomeUnknown,
        ),
        (
            "confluent",
            (
                422,
                {"offsets": [{"error_code": 1, "error": "timed out waiting to publish message, producer buffer full"}]},
            ),
            Unavailable,
        ),
        ("confluent-v3", {"error_code": 40301, "message": "Not authorized to access topics: [todo]"}, Refused),
        ("confluent-v3", {"error_code": 50003, "message": "Retriable Kafka error"}, OutcomeUnknown),
        ("confluent-v3", {"error_code": 429, "message": "Rate limit exceeded"}, Unavailable),
        ("redpanda", {"offsets": [{"partition": 0, "error_code": 3, "offset": -1}]}, Refused),
        ("redpanda", {"offsets": [{"partition": 0, "error_code": 29, "offset": -1}]}, Refused),
        ("redpanda", {"offsets": [{"partition": 0, "error_code": 7, "offset": -1}]}, OutcomeUnknown),
        ("redpanda", {"offsets": [{"partition": 0, "error_code": 20, "offset": -1}]}, OutcomeUnknown),
    ],
)
def test_the_error_of_a_record(dialect: Dialect, answer: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        write(said(answer), dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [500, 502, 503, 408, 429])
def test_a_read_is_tried_again(dialect: Dialect, status: int) -> None:
    port = Said(HttpResponse(status, {"content-type": "application/json"}, b'{"error_code":50003,"message":"later"}'))
    with pytest.raises(Unavailable, match=r"6 attempts.*nothing was written"):
        run(opened(port, URL, "todo", dialect, cluster="c").partitions())
    assert len(port.sent) == 6


def test_an_operation_ends_with_its_time() -> None:
    port = Said(HttpResponse(503, {}, b""), takes=4.0)
    topic = RestTopic(URL, "todo", total_timeout=10.0, connect_timeout=1.0, read_timeout=2.0)
    client = topic.client(port)
    client._transport._clock = port.clock
    with pytest.raises(Unavailable, match=r"3 attempts, 12\.\d s"):
        run(client.partitions())
    assert port.sent[0].timeout == 10.0
    assert all((request.connect_timeout, request.read_timeout) == (1.0, 2.0) for request in port.sent)


# --- what never stands anywhere


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 422, 429, 500])
def test_no_password_and_nothing_of_the_data_stands_in_a_message(
    dialect: Dialect, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    encoded = basic("myuser", "mypass")
    told = f"you sent mypass as {encoded}"
    body = {
        "error_code": status,
        "message": told,
        "error": told,
        "status": status,
        "offsets": [{"error_code": 1, "error": told}],
    }
    if status in (400, 422):  # as Karapace does
        body["message"] = body["error"] = f"data={SECRET!r} is not a base64 string. {told}"
    for write_it in (True, False):
        port = said((status, body))
        client = opened(port, URL, "todo", dialect, cluster="c")
        with pytest.raises(Exception) as caught:  # noqa: PT011  whichever it is
            run(client.produce(0, [RECORD])) if write_it else run(client.partitions())
        texts = [str(caught.value), repr(caught.value), caplog.text]
        for secret in ("mypass", encoded, base64.b64encode(SECRET.encode()).decode()):
            assert not any(secret in text for text in texts)
        if write_it:
            assert not any(SECRET in text for text in texts)


def test_credentials_are_taken_out_of_the_url() -> None:
    port = said({"todo": 1})
    topic = RestTopic("https://us%2Der:p%40ss@kafka.example.com:8443/api/", "todo")
    run(topic.client(port).partitions())
    assert port.sent[0].url == "https://kafka.example.com:8443/api/topics"
    assert port.sent[0].headers["authorization"] == f"Basic {basic('us-er', 'p@ss')}"
    assert repr(topic) == "RestTopic('kafka.example.com', 'todo', dialect='upstash')"
    assert "p@ss" not in f"{topic!r}{topic.client(port)!r}{topic.client(port)._transport!r}"
    port = said({"todo": 1})
    run(RestTopic("http://127.0.0.1:8082", "todo").client(port).partitions())
    assert "authorization" not in port.sent[0].headers


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: RestTopic("kafka.example.com", "todo"), "no URL of a REST API"),
    (lambda: RestTopic("ftp://a:secret@kafka.example.com", "todo"), "starts with https://"),
    (lambda: RestTopic("https://a:secret@kafka.example.com?x=secret", "todo"), "query"),
    (lambda: RestTopic(URL, "to do"), "name of a topic"),
    (lambda: RestTopic(URL, ".."), "name of a topic"),
    (lambda: RestTopic(URL, "x" * 250), "name of a topic"),
    (lambda: RestTopic(URL, "todo", dialect="strimzi"), "the dialects are upstash, confluent"),  # type: ignore[arg-type]
    (lambda: RestTopic(URL, "todo", username="secret"), "both, or neither"),
    (lambda: RestTopic(URL, "todo", username="a", password="secret\n"), "plain characters"),
    (lambda: RestTopic(URL, "todo", username="a:b", password="secret"), "no ':'"),
    (lambda: RestTopic(URL, "todo", partitions=0), "partitions"),
    (lambda: RestTopic(URL, "todo", group="a/b"), "group"),
    (lambda: RestTopic(URL, "todo", cluster="a/b"), "cluster"),
    (lambda: RestTopic(URL, "todo", total_timeout=0), "above 0"),
]


@pytest.mark.parametrize(("make", "told"), WRONG, ids=[told for _, told in WRONG])
def test_bad_arguments(make: Callable[[], object], told: str) -> None:
    with pytest.raises(Misuse, match=told) as caught:
        make()
    assert "secret" not in str(caught.value)


# --- the environment


def parts(environ: dict[str, str]) -> tuple[Any, ...]:
    topic = RestTopic.from_env(environ=environ)
    return topic._url, topic.name, topic.dialect, topic._authorization, topic._partitions


def test_from_the_environment() -> None:
    upstash = {
        "UPSTASH_KAFKA_REST_URL": "https://a.upstash.io/",
        "UPSTASH_KAFKA_REST_USERNAME": USER,
        "UPSTASH_KAFKA_REST_PASSWORD": PASSWORD,
        "UPSTASH_KAFKA_TOPIC": "todo",
    }
    login = f"Basic {basic(USER, PASSWORD)}"
    assert parts(upstash) == ("https://a.upstash.io", "todo", "upstash", login, None)
    tutorial = {"UPSTASH_KAFKA_URL": f"https://{USER}:{PASSWORD}@b.upstash.io", "UPSTASH_KAFKA_TOPIC": "todo"}
    assert parts(tutorial) == ("https://b.upstash.io", "todo", "upstash", login, None)
    own = {"KAFKA_REST_URL": "http://127.0.0.1:8082", "KAFKA_TOPIC": "events"}
    assert parts({**upstash, **own}) == ("http://127.0.0.1:8082", "events", "confluent", login, None)
    panda = {**own, "KAFKA_REST_DIALECT": "redpanda", "KAFKA_REST_PARTITIONS": "12"}
    assert parts(panda) == ("http://127.0.0.1:8082", "events", "redpanda", "", 12)
    assert RestTopic.from_env("other", environ=own).name == "other"


def test_all_that_is_wrong_with_the_environment_is_named_at_once() -> None:
    environ = {
        "KAFKA_REST_DIALECT": "esperanto",
        "KAFKA_REST_USERNAME": "secret",
        "KAFKA_REST_PARTITIONS": "many",
    }
    with pytest.raises(Misuse) as caught:
        RestTopic.from_env(environ=environ)
    for name in (
        "UPSTASH_KAFKA_URL",
        "KAFKA_TOPIC",
        "KAFKA_REST_DIALECT",
        "KAFKA_REST_PASSWORD",
        "KAFKA_REST_PARTITIONS",
    ):
        assert name in str(caught.value)
    assert "secret" not in str(caught.value)
