"""Keys in an Upstash Redis."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import replace

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...errors import CorruptLog, EventSourceError
from ...ports import Keys, SubjectKey
from .answered import checked
from .backend import UpstashRedis
from .lua import script

if TYPE_CHECKING:
    from .official import AsyncClient, Client
    from .transport import Transport

FORGOTTEN: Final = "-"
"""What stands in place of a key that was destroyed."""

READMITTED: Final = "+"
"""What stands there when the subject may be given another."""

CHUNK: Final = 1_000
"""Subjects asked for in one request, far below what a script can be given."""


class UpstashKeys:
    """A key store in an Upstash Redis: better not the one that holds the log, so that the two are backed up apart.

    Args:
        url: The database's REST URL, from the console.
        token: Its standard token.
        namespace: What its keys begin with.
        client: A client of the official package to send with, instead of URL and token.

    Raises:
        Misuse: URL, token, namespace or client cannot be what it is to be.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        namespace: str = "keys",
        client: Client | AsyncClient | None = None,
    ) -> None:
        self._redis = UpstashRedis(url, token, namespace=namespace, client=client)

    def __repr__(self) -> str:
        return repr(self._redis).replace("UpstashRedis", "UpstashKeys", 1)

    def keys(self, port: Port) -> Keys:
        """Its keys."""
        return _Keys(self._redis.transport(port), self._redis.namespace)

    def close(self) -> None:
        """Nothing is held open here: connections belong to the process and to each event loop."""


@checked("create_many", "forget", "readmit")
class _Keys:
    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport = transport
        self._prefix = f"{{{namespace}}}:subject:"
        self._create = script("create_keys")
        self._get = script("get_keys", reads=True)
        self._readmit = script("readmit")

    def _key(self, subject: str) -> str:
        return self._prefix + subject

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.create_many`."""
        answers: dict[str, SubjectKey | None] = {}
        receipt = FREE
        for subjects in _chunks(list(offered)):
            keys = [self._key(subject) for subject in subjects]
            try:
                reply, cost = await self._transport.script(
                    self._create, keys, [READMITTED, *(_text(offered[subject]) for subject in subjects)]
                )
            except EventSourceError as error:
                # Without the frames below: their variables have the keys, and services that collect errors take along
                # what a frame has.
                raise error.with_traceback(None)  # noqa: B904  # it is the same error
            _, calls, kept = cast("tuple[str, int, list[str]]", reply)
            receipt += _billed(cost, calls)
            answers.update((subject, self._read(text)) for subject, text in zip(subjects, kept, strict=True))
        return answers, receipt

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.get_many`. By a script, which the primary answers."""
        found: dict[str, SubjectKey | None] = {}
        receipt = FREE
        for some in _chunks(subjects):
            reply, cost = await self._transport.script(self._get, [self._key(subject) for subject in some], [])
            _, calls, kept = cast("tuple[str, int, list[str]]", reply)
            receipt += _billed(cost, calls)
            found.update((subject, self._read(text)) for subject, text in zip(some, kept, strict=True) if text)
        return found, receipt

    async def forget(self, subject: str) -> Receipt:
        """See `Keys.forget`."""
        _, receipt = await self._transport.command("SET", self._key(subject), FORGOTTEN)
        return receipt

    async def readmit(self, subject: str) -> Receipt:
        """See `Keys.readmit`."""
        reply, receipt = await self._transport.script(self._readmit, [self._key(subject)], [FORGOTTEN, READMITTED])
        return _billed(receipt, cast("tuple[str, int]", reply)[1])

    def _read(self, text: str) -> SubjectKey | None:
        if text in (FORGOTTEN, READMITTED):
            return None
        name, _, secret = text.partition(" ")
        try:
            return SubjectKey(name, base64.b64decode(secret, validate=True))
        except ValueError:
            raise CorruptLog(
                f"{self._transport.where}: what stands at a key {self._prefix}... is no key of this library; restore "
                "the key store, or give it a namespace of its own"
            ) from None


def _text(key: SubjectKey) -> str:
    return f"{key.id} {base64.b64encode(key.secret).decode()}"


def _billed(cost: Receipt, calls: int) -> Receipt:
    """What it cost with the commands that the script called; the transport has counted the script itself."""
    return replace(cost, commands=cost.commands + calls - 1)


def _chunks(subjects: Sequence[str]) -> list[Sequence[str]]:
    return [subjects[start : start + CHUNK] for start in range(0, len(subjects), CHUNK)]
