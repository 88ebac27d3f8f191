"""The API on Flask: users, their calls, how the table stands; and the two endpoints that QStash calls.

`flask --app examples.quota.http_api run`, or any WSGI server: `gunicorn 'examples.quota.http_api:create_app()'`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import flask
import msgspec
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from eventsource_upstash import (
    ConcurrencyError,
    EventSourceError,
    IdempotencyKeyReused,
    LogRewound,
    Misuse,
    OutcomeUnknown,
    StaleView,
    Unavailable,
    web,
)
from examples.todo.static_files import STATIC as SHARED
from examples.todo.static_files import load

from .domain import (
    PLANS,
    ChangePlan,
    Invalid,
    OverQuota,
    Refusal,
    Register,
    Remove,
    UnknownUser,
    Usage,
    UserExists,
)
from .service import JOB, Counted, Quota

_log = logging.getLogger("quota")

MAX_BODY = 16_384
"""Longest body of a request of the API, in bytes."""

MAX_MESSAGE = 2 * 1024 * 1024
"""Longest body that is read at all; what a message may have, its endpoint says."""

BUSIEST = 20

# The page's files, and those that it shares with the to-do page.
STATIC = {
    "base.css": SHARED["base.css"],
    "mark.svg": SHARED["mark.svg"],
    **load(Path(__file__).with_name("static")),
}

T = TypeVar("T")


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    user: str
    plan: str = "free"


class NewPlan(msgspec.Struct, forbid_unknown_fields=True):
    plan: str


class NewCall(msgspec.Struct, forbid_unknown_fields=True):
    endpoint: str
    units: int = 1


class NewSync(msgspec.Struct, forbid_unknown_fields=True):
    half_way: bool = False


def create_app(quota: Quota | None = None, *, start: bool = True) -> flask.Flask:
    """The application, over a `Quota` of its own or the one that is handed in, and which is started with it."""
    quota = quota or Quota()
    if start:
        quota.start()
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_MESSAGE
    notifications, jobs = web.Endpoint(quota.app), web.JobEndpoint(quota.app)

    @app.get("/")
    def page() -> flask.Response:
        return _file("index.html")

    @app.get("/static/<name>")
    def static(name: str) -> flask.Response:
        return _file(name)

    @app.post("/users")
    def register() -> flask.Response:
        given = _body(NewUser)
        done = quota.execute(given.user, Register(given.user, given.plan), _key())
        return _json({"user": given.user, "plan": given.plan, "position": done.position}, 201)

    @app.get("/users/<user>")
    def show(user: str) -> flask.Response:
        return _json(_usage(quota.user(user, _at_least())))

    @app.put("/users/<user>/plan")
    def change(user: str) -> flask.Response:
        done = quota.execute(user, ChangePlan(_body(NewPlan).plan), _key())
        assert done.state is not None
        return _json({"user": user, "plan": done.state.plan, "position": done.position})

    @app.delete("/users/<user>")
    def remove(user: str) -> flask.Response:
        done = quota.execute(user, Remove(), _key())
        return _json({"user": user, "position": done.position})

    @app.post("/users/<user>/calls")
    def call(user: str) -> flask.Response:
        given = _body(NewCall)
        counted = quota.call(user, given.endpoint, given.units, _key())
        body = {"user": user, "used": counted.used, "remaining": counted.remaining, "position": counted.position}
        return _json(body, headers=_quota_headers(counted))

    @app.get("/overview")
    def overview() -> flask.Response:
        step = quota.step()
        busiest = [{**_usage(each), "table": used} for each, used in quota.busiest(BUSIEST, _at_least())]
        last = step.last
        return _json(
            {
                "month": quota.month,
                "plans": PLANS,
                "busiest": busiest,
                "view": {"position": step.view.checkpoint, "head": step.view.head, "lag": step.view.lag},
                "table": {
                    "users": step.users,
                    "calls": step.calls,
                    "position": None if last is None else last.position,
                    "complete": None if last is None else last.complete,
                    "written": None if last is None else last.upserted,
                    "deleted": None if last is None else last.deleted,
                    "at": None if step.last_at is None else step.last_at.isoformat(),
                },
            }
        )

    @app.post("/sync")
    def sync() -> flask.Response:
        """Have the job called now; or do one step of it here, and stop: what a function that is ended leaves."""
        if _body(NewSync).half_way:
            synced = quota.copy_some()
            return _json({"position": synced.position, "complete": synced.complete})
        return _json({"message": quota.send_sync()}, 202)

    @app.post("/projections")
    def notified() -> flask.Response:
        return _answer(notifications.handle(_plain()))

    @app.post(JOB)
    def work() -> flask.Response:
        return _answer(jobs.handle(_plain()))

    app.register_error_handler(Exception, _problem)
    return app


# -- Requests --


def _body(type: type[T]) -> T:
    data = flask.request.get_data()
    if len(data) > MAX_BODY:
        flask.abort(413, f"A body has at most {MAX_BODY:,} bytes.")
    if data and not flask.request.is_json:
        # A form of somebody else's page can post text, and not JSON without asking first (CORS).
        flask.abort(415, "The body has to be JSON: Content-Type: application/json.")
    try:
        return msgspec.json.decode(data or b"{}", type=type)
    except (ValueError, RecursionError) as error:
        # Its own words name the field and what it should be, never what was sent.
        raise Invalid(f"The body is not what is expected here: {error}.") from None


def _key() -> str | None:
    """The caller's Idempotency-Key: the same request sent again does nothing again."""
    key = flask.request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise Invalid("Idempotency-Key is a printable text of 1 to 200 ASCII characters.")
    return key


def _at_least() -> int:
    given = flask.request.args.get("at_least", "0")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise Invalid("at_least is a position: a whole number, as an earlier answer told it.")
    return int(given)


def _plain() -> web.Request:
    request = flask.request
    return web.Request(
        request.method, request.url, {name.lower(): value for name, value in request.headers}, request.get_data()
    )


# -- Answers --


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "user": usage.user,
        "plan": usage.plan,
        "month": usage.month,
        "used": usage.used,
        "allowed": usage.allowed,
        "remaining": usage.remaining,
        "total": usage.total,
        "last_call": usage.last_call and usage.last_call.isoformat(),
    }


def _quota_headers(counted: Counted) -> dict[str, str]:
    return {"X-Quota-Limit": str(counted.account.allowed), "X-Quota-Remaining": str(counted.remaining)}


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> flask.Response:
    return flask.Response(
        json.dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, content_type="application/json"
    )


def _answer(response: web.Response) -> flask.Response:
    return flask.Response(response.body, response.status, dict(response.headers))


def _file(name: str) -> flask.Response:
    file = STATIC.get(name)
    if file is None:
        flask.abort(404)
    return flask.Response(file.content, 200, dict(file.headers))


_STATUS: Mapping[type[Exception], int] = {
    UnknownUser: 404,
    UserExists: 409,
    OverQuota: 429,
    Invalid: 422,
    ConcurrencyError: 409,
    IdempotencyKeyReused: 422,
    LogRewound: 409,
    StaleView: 503,
    Unavailable: 503,
    OutcomeUnknown: 503,
}
"""What an error means to the caller. Whatever is not here is ours, and is not told."""

_DETAIL: Mapping[type[Exception], str] = {
    ConcurrencyError: "Somebody else was faster. Look again.",
    IdempotencyKeyReused: "This Idempotency-Key stands for another request already. Use a new one.",
    LogRewound: "The log has no such position (any more). Read without at_least.",
}


def _problem(error: Exception) -> flask.Response:
    """An error as problem details (RFC 9457): words for the caller, nothing from the inside."""
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        status = error.code or 500
        detail = error.description or ""
        if status == 405:
            headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    elif isinstance(error, Refusal):
        status, detail = _STATUS[type(error)], str(error)
        if isinstance(error, OverQuota):
            headers = {"X-Quota-Limit": str(error.allowed), "X-Quota-Remaining": "0"}
    elif isinstance(error, Misuse) and type(error) not in _DETAIL:  # ours, or a parameter that nobody has thought of
        _log.error("%s %s was not understood", flask.request.method, flask.request.path, exc_info=error)
        status, detail = 400, "The request cannot be carried out as it is."
    elif isinstance(error, (EventSourceError, SQLAlchemyError)) and not isinstance(error, tuple(_STATUS)):
        _log.error("%s %s failed", flask.request.method, flask.request.path, exc_info=error)
        status, detail = 503, "This is not possible at the moment. Try again later."
    else:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        detail = _DETAIL.get(type(error), "Not now. Try again in a moment.")
        if status == 500:
            _log.error("%s %s failed", flask.request.method, flask.request.path, exc_info=error)
            detail = "Something went wrong here, and was written down."
    if status == 503:
        headers["Retry-After"] = "1"
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return flask.Response(
        json.dumps(body), status, {"Cache-Control": "no-store", **headers}, content_type="application/problem+json"
    )
