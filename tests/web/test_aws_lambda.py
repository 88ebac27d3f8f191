"""The endpoint as a Lambda handler, for each shape of event that AWS sends, as its documentation shows them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from eventsource_upstash import Misuse
from eventsource_upstash.web import lambda_handler
from tests.web.support import SECRETS, Signed, signed, with_tasks

BODY = b'{"position": 3}'


def rest_api(url: str, **more: Any) -> dict[str, Any]:
    """API Gateway, REST API: payload format 1.0."""
    return {
        "resource": "/projections",
        "path": "/projections",
        "httpMethod": "POST",
        "headers": {
            "Content-Type": "application/json",
            "Host": "id.execute-api.eu-central-1.amazonaws.com",
            "Upstash-Signature": signed(BODY, url)["upstash-signature"],
            "User-Agent": "Upstash-QStash",
            "X-Amzn-Trace-Id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "X-Forwarded-For": "205.255.255.176",
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https",
        },
        "multiValueHeaders": {
            "Content-Type": ["application/json"],
            "Host": ["id.execute-api.eu-central-1.amazonaws.com"],
            "Upstash-Signature": [signed(BODY, url)["upstash-signature"]],
            "X-Forwarded-Proto": ["https"],
        },
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "2gxmpl",
            "resourcePath": "/projections",
            "httpMethod": "POST",
            "extendedRequestId": "JJbxmplHYosFVYQ=",
            "requestTime": "10/Mar/2020:00:03:59 +0000",
            "path": "/prod/projections",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "domainPrefix": "id",
            "requestTimeEpoch": 1583798639428,
            "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
            "identity": {"sourceIp": "205.255.255.176", "userAgent": "Upstash-QStash"},
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "apiId": "id",
        },
        "body": BODY.decode(),
        "isBase64Encoded": False,
        **more,
    }


def http_api(url: str, **more: Any) -> dict[str, Any]:
    """API Gateway, HTTP API: payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "POST /projections",
        "rawPath": "/prod/projections",
        "rawQueryString": "",
        "headers": {
            "content-length": str(len(BODY)),
            "content-type": "application/json",
            "host": "id.execute-api.eu-central-1.amazonaws.com",
            "upstash-signature": signed(BODY, url)["upstash-signature"],
            "x-forwarded-for": "205.255.255.176",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": "/prod/projections",
                "protocol": "HTTP/1.1",
                "sourceIp": "205.255.255.176",
                "userAgent": "Upstash-QStash",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /projections",
            "stage": "prod",
            "time": "10/Mar/2020:05:16:23 +0000",
            "timeEpoch": 1583817383220,
        },
        "body": BODY.decode(),
        "isBase64Encoded": False,
        **more,
    }


def function_url(url: str, **more: Any) -> dict[str, Any]:
    """A function URL: payload format 2.0, under a host of its own, and always base64 for some content types."""
    event = http_api(url)
    event["rawPath"] = event["requestContext"]["http"]["path"] = "/projections"
    event["headers"]["host"] = "abc.lambda-url.eu-central-1.on.aws"
    event["requestContext"] |= {
        "domainName": "abc.lambda-url.eu-central-1.on.aws",
        "routeKey": "$default",
        "stage": "$default",
    }
    return {
        **event,
        "routeKey": "$default",
        "body": base64.b64encode(BODY).decode(),
        "isBase64Encoded": True,
        **more,
    }


def load_balancer(url: str, **more: Any) -> dict[str, Any]:
    """An application load balancer."""
    return {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/lambda/1"}
        },
        "httpMethod": "POST",
        "path": "/projections",
        "queryStringParameters": {},
        "headers": {
            "accept-encoding": "gzip",
            "content-type": "application/json",
            "host": "app.example.com",
            "upstash-signature": signed(BODY, url)["upstash-signature"],
            "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
            "x-forwarded-for": "72.12.164.125",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "body": BODY.decode(),
        "isBase64Encoded": False,
        **more,
    }


def load_balancer_with_multi_value_headers(url: str, **more: Any) -> dict[str, Any]:
    event = load_balancer(url)
    headers = event.pop("headers")
    del event["queryStringParameters"]
    return {**event, "multiValueHeaders": {name: [value] for name, value in headers.items()}, **more}


GATEWAY = "https://id.execute-api.eu-central-1.amazonaws.com/prod/projections"
SHAPES = [
    pytest.param(rest_api, GATEWAY, id="REST API"),
    pytest.param(http_api, GATEWAY, id="HTTP API"),
    pytest.param(function_url, "https://abc.lambda-url.eu-central-1.on.aws/projections", id="function URL"),
    pytest.param(load_balancer, "https://app.example.com/projections", id="load balancer"),
    pytest.param(load_balancer_with_multi_value_headers, "https://app.example.com/projections", id="multi-value"),
]


def call(event: dict[str, Any], **options: Any) -> tuple[dict[str, Any], int]:
    """What the handler answers, its headers as `headers` whatever the shape, and how many tasks were folded."""
    app, _, the = with_tasks()
    answer = lambda_handler(app, verifier=Signed(), **options)(event, None)
    assert json.loads(json.dumps(answer)) == answer, "Lambda sends it as JSON"
    # "You must use multiValueHeaders if you have enabled multi-value headers and headers otherwise":
    # docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#multi-value-headers-response
    # Every value is a list there, of one header too. What comes in the other field is dropped.
    if "headers" in event:
        assert answer.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    elif "multiValueHeaders" in event:
        assert answer.keys() == {"statusCode", "multiValueHeaders", "body", "isBase64Encoded"}
        assert all(isinstance(values, list) for values in answer["multiValueHeaders"].values())
        answer["headers"] = {name: value for name, (value,) in answer.pop("multiValueHeaders").items()}
    assert not [secret for secret in SECRETS if secret in str(answer)]
    return answer, app.projection_store.view(the.tasks).count()


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_a_notification(shape: Any, url: str) -> None:
    answer, folded = call(shape(url))
    assert (answer["statusCode"], answer["isBase64Encoded"], folded) == (200, False, 3)
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"]) == {"applied": 3, "position": 3, "head": 3}


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_one_that_is_not_signed_for_this_url(shape: Any, url: str) -> None:
    answer, folded = call(shape(url + "/other"))
    assert (answer["statusCode"], folded) == (401, 0)
    assert call(shape("https://public.example.com/x"), public_url="https://public.example.com/x")[1] == 3


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_a_body_in_base64(shape: Any, url: str) -> None:
    encoded = shape(url, body=base64.b64encode(BODY).decode(), isBase64Encoded=True)
    assert call(encoded)[0]["statusCode"] == 200


@pytest.mark.parametrize("body", ["{not base64}", "eyJ", "eyJwb3NpdGlvbiI6IDN9!", "ÿÿÿÿ", "eyJw b3Np"])
@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_a_body_that_is_not_base64(shape: Any, url: str, body: str) -> None:
    answer, folded = call(shape(url, body=body, isBase64Encoded=True))
    assert (answer["statusCode"], folded) == (400, 0)


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_a_body_that_is_no_text_is_not_what_was_signed(shape: Any, url: str) -> None:
    answer, folded = call(shape(url, body="\ud800", isBase64Encoded=False))
    assert (answer["statusCode"], folded) == (401, 0)


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_no_body_is_an_empty_one(shape: Any, url: str) -> None:
    for body in (None, ""):
        event = shape(url, body=body, isBase64Encoded=False)
        name = "multiValueHeaders" if "headers" not in event else "headers"
        signature = signed(b"", url)["upstash-signature"]
        for given in list(event[name]):
            if given.lower() == "upstash-signature":
                event[name][given] = [signature] if name == "multiValueHeaders" else signature
        assert call(event)[0]["statusCode"] == 200


@pytest.mark.parametrize(("shape", "url"), SHAPES[1:3])
def test_a_query_is_part_of_the_url(shape: Any, url: str) -> None:
    assert call(shape(f"{url}?a=1&b=%20x", rawQueryString="a=1&b=%20x"))[0]["statusCode"] == 200


@pytest.mark.parametrize(("shape", "url"), [SHAPES[0].values[:2], SHAPES[3].values[:2]])
def test_a_query_is_part_of_the_url_where_it_comes_in_parts(shape: Any, url: str) -> None:
    parts = {"queryStringParameters": {"a": "1", "b": "2"}}
    assert call(shape(f"{url}?a=1&b=2", **parts))[0]["statusCode"] == 200
    several = {"multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["x"]}}
    assert call(shape(f"{url}?a=1&a=2&b=x", **several))[0]["statusCode"] == 200


@pytest.mark.parametrize("shape", [load_balancer, load_balancer_with_multi_value_headers])
def test_a_query_that_a_load_balancer_does_not_decode(shape: Any) -> None:
    # "If the query parameters are URL-encoded, the load balancer does not decode them": the same page.
    url = "https://app.example.com/projections?a%5B%5D=x%20y&b=1%2B1&c="
    parts = {"a%5B%5D": "x%20y", "b": "1%2B1", "c": ""}
    assert call(shape(url, queryStringParameters=parts))[0]["statusCode"] == 200
    several = {name: [value] for name, value in parts.items()}
    assert call(shape(url, multiValueQueryStringParameters=several))[0]["statusCode"] == 200


def test_a_query_that_api_gateway_decodes() -> None:
    url = f"{GATEWAY}?a%5B%5D=x+y&b=1%2B1"
    several = {"a[]": ["x y"], "b": ["1+1"]}
    assert call(rest_api(url, multiValueQueryStringParameters=several))[0]["statusCode"] == 200


@pytest.mark.parametrize(("shape", "url"), SHAPES)
def test_other_statuses(shape: Any, url: str) -> None:
    event = shape(url)
    event["httpMethod"] = "GET"
    event["requestContext"].get("http", {})["method"] = "GET"
    assert call(event)[0]["statusCode"] == 405
    assert call(shape(url, body="x" * 70_000, isBase64Encoded=False))[0]["statusCode"] == 413


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
        {"requestContext": None, "httpMethod": None},
        {"requestContext": {"http": {}}},
    ],
)
def test_an_event_that_is_no_request(event: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match="this Lambda event is no HTTP request"):
        call(event)


def test_headers_that_are_missing_altogether() -> None:
    event = http_api("https://id.execute-api.eu-central-1.amazonaws.com/prod/projections")
    assert call({**event, "headers": None})[0]["statusCode"] == 401
    assert call({**event, "headers": {}})[0]["statusCode"] == 401
