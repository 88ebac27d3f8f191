"""How replies are written: JSON, JSON with strings in base64, or RESP2."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable

from .wire import EngineError, Reply, Status

__all__ = ["as_json", "as_resp2", "size_of"]

_Json = str | int | None | list["_Json"] | dict[str, "_Json"]


def as_json(replies: Reply | list[Reply], *, many: bool, base64: bool) -> bytes:
    """The body of an answer: one `{"result"}` or `{"error"}`, or with `many` a list of them.

    Args:
        replies: One reply, or as many as there are.
        many: Whether it is the answer to several commands.
        base64: Whether every string is encoded in base64, except the status OK.
    """
    text = _base64 if base64 else _utf8
    if many:
        assert isinstance(replies, list)
        body: _Json = [_item(reply, text) for reply in replies]
    else:
        body = _item(replies, text)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _item(reply: Reply, text: Callable[[bytes], str]) -> _Json:
    if isinstance(reply, EngineError):
        return {"error": reply.text}
    return {"result": _value(reply, text)}


def _value(reply: Reply, text: Callable[[bytes], str]) -> _Json:
    if isinstance(reply, bytes):
        return text(reply)
    if isinstance(reply, list):
        return [_value(item, text) for item in reply]
    if isinstance(reply, EngineError):
        return text(reply.text.encode())  # inside a list: what JSON has no other place for
    return reply


def _utf8(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> str:
    if isinstance(value, Status) and value == b"OK":
        return "OK"
    return b64encode(value).decode("ascii")


def as_resp2(reply: Reply) -> bytes:
    """A reply as the engine would have sent it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Status):
        return b"+%s\r\n" % bytes(reply)
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, EngineError):
        return b"-%s\r\n" % reply.text.encode()
    return b"*%d\r\n" % len(reply) + b"".join(map(as_resp2, reply))


def size_of(reply: Reply) -> int:
    """About how many bytes a reply has on the wire, without framing."""
    if isinstance(reply, bytes):
        return len(reply)
    if isinstance(reply, list):
        return sum(map(size_of, reply))
    return 8
