"""The web application without a web framework: plain requests to plain responses, in three steps.

    read     a request is understood as work, or answered at once if it cannot be
    do       the work is done, by a `Todo` or an `AsyncTodo`: the only step that waits
    write    what came of it, or the error, becomes a response

The file of each framework only carries values to `respond` or `respond_async` and back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qs

import msgspec

from eventsource_upstash import (
    ConcurrencyError,
    EventSourceError,
    IdempotencyKeyReused,
    LogRewound,
    Misuse,
    OutcomeUnknown,
    ProjectionStopped,
    StaleView,
    Unavailable,
)
from eventsource_upstash.web import AsyncStreaming, Response, Streaming
from eventsource_upstash.web import Request as WebRequest

from . import live, schema
from .app import AsyncTodo, Done, LogPage, Todo
from .domain import (
    CreateTask,
    DeleteTask,
    RestoreTask,
    Task,
    TaskCommand,
    TaskError,
    TaskExists,
    UnknownTask,
    UpdateTask,
    new_id,
)
from .static_files import SECURITY, STATIC

_log = logging.getLogger("todo")

MAX_BODY = 2_000_000
"""Longest request body, in bytes."""

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request in plain values: the path decoded, the query not, names of headers in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class Answer(Exception):
    """A response that is given at once: the request cannot be understood, or asks for something that stands still."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


# -- Read --


@dataclass(frozen=True)
class ListTasks:
    at_least: int


@dataclass(frozen=True)
class GetTask:
    id: str
    at_least: int


@dataclass(frozen=True)
class Perform:
    command: TaskCommand
    key: str | None


@dataclass(frozen=True)
class ReadLog:
    after: int | None
    limit: int


Work = ListTasks | GetTask | Perform | ReadLog | schema.Operation


class NewTask(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class WholeTask(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    done: bool


class PartOfTask(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    done: bool | None = None


def read(request: Request) -> Work:
    """What a request asks for. Raises `Answer` when there is nothing to do for it."""
    method = "GET" if request.method == "HEAD" else request.method
    match request.path.rstrip("/").split("/")[1:]:
        case [] | [""]:
            _allow(method, "GET")
            raise Answer(_static(request, "index.html"))
        case ["static", name] if name in STATIC:
            _allow(method, "GET")
            raise Answer(_static(request, name))
        case ["graphql"]:
            _allow(method, "GET", "POST")
            if method == "GET":
                raise Answer(_static(request, "console.html"))
            operation = _body(request, schema.Operation)
            if not operation.query.strip():
                raise Answer(problem(400, "The GraphQL query is empty."))
            return operation
        case ["api", "events"]:
            _allow(method, "GET")
            after, recent = _number(request, "after"), _number(request, "recent")
            return ReadLog(0 if after is None and recent is None else after, min(recent or live.PAGE, live.PAGE))
        case ["api", "tasks"]:
            _allow(method, "GET", "POST")
            if method == "GET":
                return ListTasks(_number(request, "at_least") or 0)
            key = _key(request)
            return Perform(CreateTask(new_id(key), _body(request, NewTask).text), key)
        case ["api", "tasks", id]:
            _allow(method, "GET", "PUT", "PATCH", "DELETE")
            if method == "GET":
                return GetTask(id, _number(request, "at_least") or 0)
            if method == "DELETE":
                return Perform(DeleteTask(id), _key(request))
            fields: WholeTask | PartOfTask = (
                _body(request, WholeTask) if method == "PUT" else _body(request, PartOfTask)
            )
            return Perform(UpdateTask(id, fields.text, fields.done), _key(request))
        case ["api", "tasks", id, "restore"]:
            _allow(method, "POST")
            return Perform(RestoreTask(id), _key(request))
        case _:
            raise Answer(problem(404, "There is nothing at this address."))


def wants_feed(request: Request) -> bool:
    """Whether a request asks for the list as it changes: the change feed of the view, as server-sent events."""
    accept = request.headers.get("accept", "")
    return request.method == "GET" and request.path == "/api/tasks" and "text/event-stream" in accept


def _allow(method: str, *methods: str) -> None:
    if method not in methods:
        allowed = ", ".join(methods)
        raise Answer(problem(405, f"This address takes {allowed}, not {method[:20]}.", Allow=allowed))


def _number(request: Request, name: str) -> int | None:
    values = parse_qs(request.query, keep_blank_values=True).get(name)
    return None if values is None else _whole(name, values[-1])


def _whole(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise Answer(problem(400, f"{name} is a position in the log: a whole number from 0."))
    return int(value)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 200 and key.isprintable()):
        raise Answer(problem(400, "Idempotency-Key is a printable text of 1 to 200 characters."))
    return key


def _body(request: Request, kind: type[T]) -> T:
    if len(request.body) > MAX_BODY:
        raise Answer(problem(413, f"The request is too large: at most {MAX_BODY:,} bytes are possible."))
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise Answer(problem(415, "The request has to be JSON: Content-Type: application/json."))
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise Answer(problem(422, f"The JSON is not what is expected here: {error}.")) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Answer(
            problem(400, "The request is not valid JSON: UTF-8, and no half characters (lone surrogates).")
        ) from None


def _static(request: Request, name: str) -> Response:
    file = STATIC[name]
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(304, file.headers, b"")
    return Response(200, file.headers, file.content)


# -- Do --


def respond(todo: Todo, request: Request, *, streams: bool = True) -> Response:
    """Answer a request, blocking. `streams` tells the page whether it can have the feed of the list."""
    try:
        work = read(request)
        match work:
            case ListTasks():
                return write_tasks(todo.tasks(work.at_least))
            case GetTask():
                return write_task(todo.task(work.id, work.at_least))
            case Perform():
                return write_done(work, todo.perform(work.command, work.key))
            case ReadLog():
                return write_log(todo.log(work.after, work.limit), streams)
            case schema.Operation():
                return _json(200, schema.execute(todo, work))
    except Exception as error:
        return _as_asked(request, failure(error))


async def respond_async(todo: AsyncTodo, request: Request) -> Response:
    """The same for event loops."""
    try:
        work = read(request)
        match work:
            case ListTasks():
                return write_tasks(await todo.tasks(work.at_least))
            case GetTask():
                return write_task(await todo.task(work.id, work.at_least))
            case Perform():
                return write_done(work, await todo.perform(work.command, work.key))
            case ReadLog():
                return write_log(await todo.log(work.after, work.limit), streams=True)
            case schema.Operation():
                return _json(200, await schema.execute_async(todo, work))
    except Exception as error:
        return _as_asked(request, failure(error))


def follow(todo: Todo, request: Request) -> Response | Streaming:
    """Answer a request for the feed, blocking."""
    try:
        return todo.follow(_web(request))
    except Exception as error:
        return failure(error)


async def follow_async(todo: AsyncTodo, request: Request) -> Response | AsyncStreaming:
    """The same for event loops."""
    try:
        return await todo.follow(_web(request))
    except Exception as error:
        return failure(error)


def _web(request: Request) -> WebRequest:
    return WebRequest(request.method, f"{request.path}?{request.query}", request.headers, b"")


# -- Write --


def write_tasks(tasks: list[Task]) -> Response:
    return _json(200, msgspec.json.encode(tasks))


def write_task(task: Task) -> Response:
    return _json(200, msgspec.json.encode(task))


def write_done(work: Perform, done: Done) -> Response:
    position = {"Event-Position": str(done.position)}  # hand it to GET as at_least=
    if isinstance(work.command, DeleteTask):
        return Response(204, {**SECURITY, **position}, b"")
    if isinstance(work.command, CreateTask):
        return _json(201, msgspec.json.encode(done.task), {**position, "Location": f"/api/tasks/{done.task.id}"})
    return _json(200, msgspec.json.encode(done.task), position)


def write_log(page: LogPage, streams: bool) -> Response:
    told = {
        "events": [live.record(each) for each in page.events],
        "status": live.status(page),
        "more": bool(page.events) and page.events[-1].position < page.head,
        "reset": page.rewound,
        "streams": streams,
        "every": live.ASK_BILLED if page.billed else live.ASK,
    }
    return _json(200, json.dumps(told).encode())


def failure(error: Exception) -> Response:
    """What a person is told of an error. Never a traceback, never a detail that is only for operators."""
    match error:
        case Answer():
            return error.response
        case UnknownTask():
            return problem(404, str(error))
        case TaskExists():
            return problem(409, str(error))
        case TaskError():
            return problem(422, str(error))
        case ConcurrencyError():
            return problem(409, "Somebody else changed this task at the same moment. Please try again.")
        case StaleView():
            return problem(503, "The list has not got that far yet. Please try again.", **{"Retry-After": "1"})
        case LogRewound(asked=True):
            return problem(409, "The log has no such position (any more). Please load the page again.")
        case ProjectionStopped():
            _log.error("the view has stopped", exc_info=error)
            return problem(503, "The list has stopped: an event could not be folded. The log has more than it shows.")
        case IdempotencyKeyReused():
            return problem(422, "This Idempotency-Key stands for another request already. Use a new one.")
        case Misuse():
            _log.error("a request was not understood by the library", exc_info=error)
            return problem(400, "The request cannot be carried out as it is.")
        case Unavailable() | OutcomeUnknown():
            _log.warning("the backend did not answer", exc_info=error)
            return problem(
                503, "The to-do list cannot be reached at the moment. Please try again.", **{"Retry-After": "1"}
            )
        case EventSourceError():
            _log.error("the backend refused", exc_info=error)
            return problem(503, "The to-do list cannot be reached at the moment.")
        case _:
            _log.error("unexpected error", exc_info=error)
            return problem(500, "Something went wrong on the server.")


def _as_asked(request: Request, response: Response) -> Response:
    """A problem in the form that a GraphQL client looks for, if it was one that asked."""
    if request.path != "/graphql" or response.status < 400:
        return response
    message = json.loads(response.body)["detail"]
    return response._replace(
        headers={**response.headers, "Content-Type": "application/json; charset=utf-8"},
        body=json.dumps({"errors": [{"message": message}]}).encode(),
    )


def problem(status: int, detail: str, **headers: str) -> Response:
    """An error as RFC 9457 has it; `detail` is for the person."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return _json(status, json.dumps(body).encode(), {**headers, "Content-Type": "application/problem+json"})


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    common = {**SECURITY, "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
    return Response(status, {**common, **(headers or {})}, body)
