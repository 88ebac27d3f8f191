"""The command side: `POST /accounts` opens one, `PUT /accounts/ID/commands/suspend` and its like change it.

It appends to the log, and neither folds nor reads a view. As ASGI: `uvicorn --factory
examples.accounts.commands:create_app`; on AWS Lambda: `examples.accounts.commands.handler`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from eventsource_upstash import Executed, connect, connect_async
from eventsource_upstash.web import Response

from . import settings
from .domain import (
    AccountCommand,
    AccountError,
    ActivateAccount,
    ArchiveAccount,
    InvalidText,
    Known,
    NotAllowed,
    OpenAccount,
    Outdated,
    SuspendAccount,
    UnknownAccount,
    account,
    new_id,
    registry,
    stream_of,
)
from .hosting import Handler, lambda_handler, starlette
from .plain import (
    Request,
    allow,
    answer,
    body,
    failure,
    idempotency_key,
    if_match,
    nothing_here,
    problem,
    reused,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette


# -- Read --


@dataclass(frozen=True)
class Perform:
    command: AccountCommand
    key: str | None


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Because(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


class BecauseOf(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


# --8<-- [start:read]
def read(request: Request) -> Perform | None:
    """The command in a request; None where only the state of the log is asked for. Raises `Answer` for all else."""
    match request.parts:
        case ["accounts"]:
            allow(request, "POST")
            key = idempotency_key(request)
            return perform(OpenAccount(new_id(key), body(request, NewAccount).name), key)
        case ["accounts", id, "commands", name] if name in COMMANDS:
            allow(request, "PUT")
            return perform(COMMANDS[name](id, request), idempotency_key(request))
        case ["status"]:
            allow(request, "GET")
            return None
        case _:
            raise nothing_here()


COMMANDS: dict[str, Callable[[str, Request], AccountCommand]] = {
    "activate": lambda account, request: ActivateAccount(account, body(request, Because).reason, if_match(request)),
    "suspend": lambda account, request: SuspendAccount(account, body(request, BecauseOf).reason, if_match(request)),
    "archive": lambda account, request: ArchiveAccount(account, body(request, Because).reason, if_match(request)),
}
# --8<-- [end:read]


def perform(command: AccountCommand, key: str | None) -> Perform:
    # A key stands for one command: the same one on two of them is two requests.
    return Perform(command, key and f"{type(command).__name__}:{key}")


# -- Do --


# --8<-- [start:do]
class Commands:
    """For callers that block: AWS Lambda."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect(backend or settings.accounts_backend(), registry)

    def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            if work is None:
                return write_status(self.app.event_store.head())
            executed = self.app.event_store.execute(
                account, stream_of(work.command), work.command, idempotency_key=work.key
            )
            position = executed.position or self.app.event_store.head()
            return write_done(work.command, executed, position)
        except Exception as error:
            return failure(error, told)

    def close(self) -> None:
        self.app.close()


# --8<-- [end:do]


class AsyncCommands:
    """The same on an event loop."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect_async(backend or settings.accounts_backend(), registry)

    async def start(self) -> None:
        pass

    async def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            if work is None:
                return write_status(await self.app.event_store.head())
            executed = await self.app.event_store.execute(
                account, stream_of(work.command), work.command, idempotency_key=work.key
            )
            position = executed.position or await self.app.event_store.head()
            return write_done(work.command, executed, position)
        except Exception as error:
            return failure(error, told)

    async def close(self) -> None:
        await self.app.close()


# -- Write --


# --8<-- [start:write]
def write_done(command: AccountCommand, executed: Executed[Known], position: int) -> Response:
    """The account after a command. Hand the position to a query as `at_least=`, and it knows of the command."""
    state = executed.state
    assert state is not None
    if isinstance(command, OpenAccount) and state.name != command.name:
        return reused()  # the key stands for an account of another name
    told = {"id": command.id, "status": state.status, "revision": executed.revision, "position": position}
    headers = {"Event-Position": str(position), "ETag": f'"{executed.revision}"'}
    if isinstance(command, OpenAccount):
        return answer(201, told, {**headers, "Location": f"/accounts/{command.id}"})
    return answer(200, told, headers)


# --8<-- [end:write]


def write_status(head: int) -> Response:
    return answer(200, {"function": "commands", "head": head})


# --8<-- [start:told]
def told(error: Exception) -> Response | None:
    match error:
        case UnknownAccount():
            return problem(404, str(error))
        case NotAllowed():
            return problem(409, str(error))
        case Outdated():
            return problem(412, str(error))
        case InvalidText() | AccountError():
            return problem(422, str(error))
        case _:
            return None


# --8<-- [end:told]


# -- To be deployed --


def create_app() -> Starlette:
    return starlette(AsyncCommands())


def create_handler() -> Handler:
    return lambda_handler(Commands())


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
