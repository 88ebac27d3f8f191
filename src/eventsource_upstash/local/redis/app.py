"""The REST API of Upstash Redis, over a real engine."""

from __future__ import annotations

import hmac
import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ..faults import Faults, misbehaving
from ..guarding import guard
from ..metering import CALLER_HEADER, Meter, caller_name
from .commands import QUOTA_EXCEEDED, WRONG_TOKEN, name_of
from .execution import Done, Execution
from .replies import as_json, as_resp2
from .streaming import Streams
from .wire import EngineError, EngineGone, Reply

__all__ = ["MAX_BODY_BYTES", "Tokens", "create_app"]

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Of a request; the limit of each command in it is lower."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT"})
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SYNC_TOKEN: Final = "Upstash-Sync-Token"  # noqa: S105 - a header's name
_STREAMS: Final = frozenset({"subscribe", "psubscribe", "monitor"})

_SENT: Final = "scripts sent"
"""Stands among the billed commands for NOSCRIPT answers. No command's name: those are in capitals."""

_T = TypeVar("_T")


class Tokens(NamedTuple):
    """What callers have to show.

    Attributes:
        full: For everything.
        read_only: For reading.
    """

    full: str
    read_only: str

    def __repr__(self) -> str:
        return "Tokens(...)"


class _Caller(NamedTuple):
    name: str
    read_only: bool


class _Malformed(Exception):
    """The request is no command. The message is the answer's error."""


class _Rest:
    def __init__(self, execution: Execution, meter: Meter, tokens: Tokens) -> None:
        self._execution = execution
        self._meter = meter
        self._tokens = tokens
        self._streams = Streams(execution)
        self._writes = 0

    async def close(self, _: web.Application) -> None:
        await self._streams.close()
        await self._execution.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, counted."""
        if request.method == "OPTIONS":
            return web.Response()
        if request.method not in _METHODS:
            return web.Response(status=405)
        caller = self._authenticate(request)
        if caller is None:
            return _error(WRONG_TOKEN, 401)
        if request.method == "HEAD":
            return web.Response()
        try:
            if (request.content_length or 0) > MAX_BODY_BYTES:
                return _body_too_large()
            body = await request.read() if request.body_exists else b""
        except web.HTTPRequestEntityTooLarge:
            return _body_too_large()
        head = request.path.strip("/").split("/", 1)[0].lower()
        if head in _STREAMS and request.path not in ("", "/"):
            self._meter.add(caller.name, {"requests": 1, "commands": 1, f"command:{head.upper()}": 1})
            return await self._streams.serve(request, head, _path(request)[1:], caller.read_only)
        billed: Counter[str] = Counter()
        answer = await self._answer(request, body, caller, billed)
        numbers = {f"command:{name}": number for name, number in billed.items() if number}
        numbers |= {"requests": 1, "commands": sum(billed.values())}
        numbers |= {"bytes_in": len(body), "bytes_out": len(answer.body) if isinstance(answer.body, bytes) else 0}
        if scripts := numbers.pop(f"command:{_SENT}", 0):
            numbers["scripts_sent"] = scripts
            numbers["commands"] -= scripts
        elif answer.status != 200:
            numbers["errors"] = 1
        if _SYNC_TOKEN in request.headers:
            numbers["sync_tokens"] = 1
        self._meter.add(caller.name, numbers)
        answer.headers.setdefault(_SYNC_TOKEN, self._sync_token())
        return answer

    def _authenticate(self, request: web.Request) -> _Caller | None:
        """Who asks; None if the token is wrong. Before anything else is looked at."""
        shown = request.query.get("_token")
        if not shown:
            header = request.headers.get("Authorization", "").strip()
            scheme, _, rest = header.partition(" ")
            shown = rest.strip() if scheme.lower() == "bearer" else header
        secret, _, name = shown.partition("~")
        given = secret.encode("utf-8", "surrogateescape")
        full = hmac.compare_digest(given, self._tokens.full.encode())
        read_only = hmac.compare_digest(given, self._tokens.read_only.encode())
        if not full and not read_only:
            return None
        return _Caller(caller_name(request.headers.get(CALLER_HEADER), name), not full)

    async def _answer(self, request: web.Request, body: bytes, caller: _Caller, billed: Counter[str]) -> web.Response:
        encoding = request.headers.get("Upstash-Encoding", "")
        layout = request.headers.get("Upstash-Response-Format", "json")
        path = "/" + request.path.strip("/")
        if path == "/multi-exec":
            layout = "json"  # "as it only returns response in JSON format"
        if encoding not in ("", "base64"):
            return _error(f"ERR invalid Upstash-Encoding: {encoding}", 400)
        if layout not in ("json", "resp2"):
            return _error(f"ERR invalid Upstash-Response-Format: {layout}", 400)
        if layout == "resp2" and encoding:
            return _error("ERR Upstash-Encoding is not permitted with Upstash-Response-Format: resp2", 400)
        writing = _Writing(base64=bool(encoding), resp2=layout == "resp2")
        try:
            if path in ("/pipeline", "/multi-exec"):
                commands = _commands(body)
                if path == "/pipeline":
                    return await self._pipeline(commands, caller, billed, writing)
                return await self._multi_exec(commands, caller, billed, writing)
            command = _command(_loaded(body)) if path == "/" else _from_path(request, body)
            done = await self._run(command, caller, billed)
        except _Malformed as error:
            return _error(str(error), 400)
        except EngineGone as error:
            return _error(f"ERR the local engine does not answer: {error}", 503)
        return writing.one(done)

    async def _run(self, command: Sequence[bytes], caller: _Caller, billed: Counter[str]) -> Done:
        done = await self._execution.run(command, read_only=caller.read_only)
        _bill(billed, done)
        if not done.refused and await self._execution.writes(command):
            self._writes += 1
        return done

    async def _pipeline(
        self, commands: list[list[bytes]], caller: _Caller, billed: Counter[str], writing: _Writing
    ) -> web.Response:
        # One after the other: not atomic, others come in between; and an error does not stop what follows.
        return writing.many([(await self._run(command, caller, billed)).reply for command in commands])

    async def _multi_exec(
        self, commands: list[list[bytes]], caller: _Caller, billed: Counter[str], writing: _Writing
    ) -> web.Response:
        done = await self._execution.transact(commands, read_only=caller.read_only)
        if isinstance(done, EngineError):
            return _error(done.text, 400)
        for each in done:
            _bill(billed, each)
        self._writes += 1
        return writing.many([each.reply for each in done])

    def _sync_token(self) -> str:
        """Stands for the writes so far. A client sends the last one back; here every read sees every write."""
        return format(self._writes, "x")


def _bill(billed: Counter[str], done: Done) -> None:
    billed.update(done.billed)
    if isinstance(done.reply, EngineError) and done.reply.text.startswith("NOSCRIPT"):
        billed[_SENT] += 1


class _Writing(NamedTuple):
    base64: bool
    resp2: bool

    def one(self, done: Done) -> web.Response:
        status = 200
        if isinstance(done.reply, EngineError):
            too_large = done.reply.text.startswith("ERR max request size exceeded")
            # Seen at the service: a command that is too large is refused with 413; a reply that is, with 200.
            status = (413 if done.refused else 200) if too_large else 400
        if self.resp2:
            return web.Response(body=as_resp2(done.reply), status=status, content_type="application/octet-stream")
        return _json(as_json(done.reply, many=False, base64=self.base64), status)

    def many(self, replies: list[Reply]) -> web.Response:
        if self.resp2:
            return web.Response(body=b"".join(map(as_resp2, replies)), content_type="application/octet-stream")
        return _json(as_json(replies, many=True, base64=self.base64), 200)


def _json(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _error(text: str, status: int) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _body_too_large() -> web.Response:
    answer = _error(f"ERR max request size exceeded. Limit: {MAX_BODY_BYTES} bytes", 413)
    answer.force_close()  # the rest of it is not waited for
    return answer


def _loaded(body: bytes) -> object:
    if not body.strip():
        raise _Malformed("EOF")
    try:
        # Numbers stay the text that they were sent as: nothing is rounded, nothing gets an exponent.
        return json.loads(body.decode("utf-8", "replace"), parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Malformed("ERR failed to parse command") from error


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _array(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _Malformed("expected JSON array")
    return value  # pyright: ignore[reportUnknownVariableType]  # of whatever JSON holds


def _command(value: object) -> list[bytes]:
    command = [_argument(item) for item in _array(value)]
    if not command:
        raise _Malformed("ERR empty command")
    return command


def _commands(body: bytes) -> list[list[bytes]]:
    commands = [_command(item) for item in _array(_loaded(body))]
    if not commands:
        raise _Malformed("ERR empty pipeline request")
    return commands


def _argument(value: object) -> bytes:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value).encode()
    if value is None:
        raise _Malformed("ERR null args are not supported")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    raise _Malformed(f'ERR unsupported arg type: "{"[" if isinstance(value, list) else "{"}": json.Delim')


def _path(request: web.Request) -> list[bytes]:
    return [unquote_to_bytes(part) for part in request.rel_url.raw_path.strip("/").split("/")]


def _from_path(request: web.Request, body: bytes) -> list[bytes]:
    """A command in the path; a body is its last argument; the query's names and values come after it."""
    command = _path(request)
    if body and request.method in ("POST", "PUT"):
        command.append(body)
    for pair in request.rel_url.raw_query_string.split("&"):
        name, equals, value = pair.partition("=")
        if name and name != "_token":
            command.append(unquote_to_bytes(name.replace("+", " ")))
            if equals and value:
                command.append(unquote_to_bytes(value.replace("+", " ")))
    return command


async def names_in(request: web.Request) -> Collection[str]:
    """Names of the commands in a request, as far as it can be read: for faults that strike only some."""
    path = "/" + request.path.strip("/")
    if path not in ("/", "/pipeline", "/multi-exec"):
        return (path[1:].split("/", 1)[0],)
    try:
        body = await request.read()
        commands = [_command(_loaded(body))] if path == "/" else _commands(body)
    except (_Malformed, web.HTTPException):
        return ()
    return [name_of(command) for command in commands]


def _quota() -> web.Response:
    return _error(QUOTA_EXCEEDED, 400)


def create_app(execution: Execution, *, meter: Meter, faults: Faults, tokens: Tokens) -> web.Application:
    """The application. Closes the execution with itself.

    Args:
        execution: Where commands run.
        meter: Counts requests and billed commands.
        faults: What goes wrong.
        tokens: What callers have to show.
    """
    app = web.Application(
        middlewares=[guard, misbehaving(faults, "redis", quota=_quota, names_of=names_in)],
        client_max_size=MAX_BODY_BYTES,
    )
    rest = _Rest(execution, meter, tokens)
    app.router.add_route("*", "/{anything:.*}", rest.handle)
    app.on_shutdown.append(rest.close)
    return app
