"""Runs commands on the engine as the service would, and says what would be billed."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..faults import Fault, Faults
from .commands import DATABASE_FULL, CommandTable, Limits, name_of, translated
from .replies import size_of
from .scripts import Script, Scripts, Unwrapped, sha_of, unwrap
from .wire import Address, Connection, EngineError, EngineGone, Reply, Status

__all__ = ["Done", "Execution"]

Command = Sequence[bytes]

_BY_TEXT: Final = {"EVAL": b"EVALSHA", "EVAL_RO": b"EVALSHA_RO"}
_BY_SHA: Final = {"EVALSHA": b"EVALSHA", "EVALSHA_RO": b"EVALSHA_RO"}
_SCRIPTS: Final = _BY_TEXT.keys() | _BY_SHA.keys()
_EVAL_OF: Final = {b"EVALSHA": b"EVAL", b"EVALSHA_RO": b"EVAL_RO"}
_NO_SCRIPT: Final = "NOSCRIPT No matching script. Please use EVAL."


class Done(NamedTuple):
    """What became of a command.

    Attributes:
        reply: Its reply.
        billed: Billed commands by name, those inside a script included.
        refused: Whether it never reached the engine.
    """

    reply: Reply
    billed: Counter[str]
    refused: bool = False


class _Planned(NamedTuple):
    """A command of a transaction, as it is put to the engine."""

    command: Command
    script: bool = False
    full: Fault | None = None
    answer: Reply = None
    answered: bool = False


class Execution:
    """Commands in, replies out, over one connection that all callers share."""

    def __init__(self, address: Address, faults: Faults, limits: Limits, *, key_locking: bool) -> None:
        """Nothing is connected before it is needed.

        Args:
            address: Where the engine is.
            faults: For the fault `database-full`.
            limits: Sizes that are refused.
            key_locking: Whether scripts may ask to lock only their keys.
        """
        self.address = address
        self.limits = limits
        self._faults = faults
        self._scripts = Scripts(key_locking=key_locking)
        self._connection: Connection | None = None
        self._table: CommandTable | None = None
        self._connecting = asyncio.Lock()
        self._at_most = 0
        """Bytes that the largest record can have, whichever it is."""

    async def connection(self) -> Connection:
        """The shared connection, opened again if it was lost."""
        if self._connection is None or not self._connection.usable:
            async with self._connecting:
                if self._connection is None or not self._connection.usable:
                    self._connection = await Connection.open(self.address)
        return self._connection

    async def table(self) -> CommandTable:
        """The engine's commands."""
        if self._table is None:
            reply = await (await self.connection()).call((b"COMMAND",))
            self._at_most = await self._size_of_database()
            self._table = CommandTable(reply, self.limits)
        return self._table

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def refusal(self, command: Command, *, read_only: bool) -> EngineError | None:
        """Why a command is not run, or None."""
        if not command:
            return EngineError("ERR empty command")
        table = await self.table()
        refused = table.refusal(command, read_only=read_only)
        if (
            refused is None
            and self._faults
            and table.grows(command)
            and name_of(command) not in _SCRIPTS  # of these, only what they call
            and self._full(name_of(command))
        ):
            return EngineError(DATABASE_FULL)
        if refused is None and table.grows(command):
            return await self._record_refusal(command, table.keys(command))
        return refused

    def _full(self, name: str) -> Fault | None:
        """The fault that the database is full, if there is one for this command. Counted as having struck."""
        return self._faults.take("redis", ("database-full",), commands=(name,)) if self._faults else None

    async def _size_of_database(self) -> int:
        reply = await (await self.connection()).call((b"INFO", b"memory"))
        found = re.search(rb"used_memory_dataset:(\d+)", reply) if isinstance(reply, bytes) else None
        return int(found.group(1)) if found else 0

    async def _record_refusal(self, command: Command, keys: Sequence[bytes]) -> EngineError | None:
        """The refusal of a command that may make a record too large: what it has, and all that the command brings.

        As long as all that was ever written is less than that, no record need be measured.
        """
        size = sum(map(len, command))
        self._at_most += size
        if self._at_most <= self.limits.record:
            return None
        connection = await self.connection()
        asked = [command for key in keys for command in ((b"STRLEN", key), (b"MEMORY", b"USAGE", key))]
        replies = await connection.call_all(asked)
        for length, usage in zip(replies[::2], replies[1::2], strict=True):
            # A string's length is exact; of anything else the engine tells what it occupies.
            has = length if isinstance(length, int) else usage
            refused = self.limits.record_too_large((has if isinstance(has, int) else 0) + size)
            if refused is not None:
                return refused
        return None

    async def writes(self, command: Command) -> bool:
        """Whether a command may write."""
        return bool(command) and (await self.table()).writes(command)

    async def run(self, command: Command, *, read_only: bool) -> Done:
        """Run one command. Errors are replies.

        Raises:
            EngineGone: The connection to the engine was lost.
        """
        refused = await self.refusal(command, read_only=read_only)
        if refused is not None:
            return Done(refused, Counter(), refused=True)
        name = name_of(command)
        billed = Counter({name: 1})
        if name == "SCRIPT":
            return Done(self._sized(await self._script_command(command)), billed)
        if name in _SCRIPTS:
            found = await self._find(name, command)
            if isinstance(found, EngineError):
                return Done(self._sized(translated(command, found)), billed)
            script, full = await self._or_full(name, found)
            reply = self._spared(unwrap(await self._evaluate(name, script, command)), full, billed)
        else:
            reply = await (await self.connection()).call(command)
        return Done(self._sized(translated(command, reply)), billed)

    def _sized(self, reply: Reply) -> Reply:
        return self.limits.too_large(size_of(reply)) or reply

    async def _or_full(self, name: str, script: Script) -> tuple[Script, Fault | None]:
        """A script as it is to run, and the fault that the database is full, if it shall find it full."""
        full = None if name.endswith("_RO") else self._full(name)
        if full is None:
            return script, None
        return script.when_full((await self.table()).growing, DATABASE_FULL), full

    def _spared(self, ran: Unwrapped, full: Fault | None, billed: Counter[str]) -> Reply:
        """The reply of a script, its calls billed. Without a call that was refused, it was not struck."""
        if full is not None and not ran.refused:
            self._faults.spare(full)
        billed.update(ran.calls)
        return ran.reply

    async def _evaluate(self, name: str, found: Script, command: Command) -> Reply:
        connection = await self.connection()
        verb = _BY_TEXT.get(name) or _BY_SHA[name]
        reply = await connection.call((verb, found.wrapped_sha, *command[2:]))
        if isinstance(reply, EngineError) and reply.text.startswith("NOSCRIPT"):
            reply = await connection.call((_EVAL_OF[verb], found.wrapped, *command[2:]))
        return reply

    async def _find(self, name: str, command: Command) -> Script | EngineError:
        """The script that a command names or brings along."""
        if len(command) < 3:
            return EngineError(f"ERR wrong number of arguments for '{name.lower()}' command")
        if name in _BY_SHA:
            return self._scripts.get(command[1].decode("utf-8", "replace")) or EngineError(_NO_SCRIPT)
        return await self._load(command[1])

    async def _load(self, text: bytes) -> Script | EngineError:
        sha, script, known = self._scripts.prepare(text)
        if not known:
            # What the engine says of the plain text is in terms of what the caller wrote.
            reply = await (await self.connection()).call((b"SCRIPT", b"LOAD", script.plain))
            if isinstance(reply, EngineError):
                return reply
            self._scripts.keep(sha, script)
        return script

    async def _script_command(self, command: Command) -> Reply:
        verb = command[1].upper() if len(command) > 1 else b""
        if verb == b"LOAD" and len(command) == 3:
            loaded = await self._load(command[2])
            return loaded if isinstance(loaded, EngineError) else sha_of(command[2]).encode()
        if verb == b"EXISTS" and len(command) > 2:
            return [int(self._scripts.get(sha.decode("utf-8", "replace")) is not None) for sha in command[2:]]
        reply = await (await self.connection()).call(command)
        if verb == b"FLUSH" and isinstance(reply, Status):
            self._scripts.flush()
        return reply

    async def transact(self, commands: Sequence[Command], *, read_only: bool) -> list[Done] | EngineError:
        """Run commands as one transaction: nobody else's in between; or an error if it was given up as a whole.

        It goes to the engine in one piece, from MULTI to EXEC, so no other caller of the shared connection can be
        inside it, and the connection is never left inside MULTI. Raises as `run`.
        """
        planned: list[_Planned] = []
        for command in commands:
            plan = await self.refusal(command, read_only=read_only) or await self._plan(command)
            if isinstance(plan, EngineError):
                for given_up in planned:
                    if given_up.full is not None:
                        self._faults.spare(given_up.full)
                return plan
            planned.append(plan)
        connection = await self.connection()
        replies = await connection.call_all([(b"MULTI",), *(plan.command for plan in planned), (b"EXEC",)])
        results = replies[-1]
        if isinstance(results, EngineError):
            return results
        assert isinstance(results, list)
        done: list[Done] = []
        for command, plan, reply in zip(commands, planned, results, strict=True):
            name = name_of(command)
            billed = Counter({name: 1})
            if plan.script:
                result = self._spared(unwrap(reply), plan.full, billed)
            else:
                result = plan.answer if plan.answered else reply
            done.append(Done(self._sized(translated(command, result)), billed))
        return done

    async def _plan(self, command: Command) -> _Planned | EngineError:
        name = name_of(command)
        if name == "SCRIPT":
            # Answered by this server; something harmless stands for it among the engine's commands.
            return _Planned((b"PING",), answer=await self._script_command(command), answered=True)
        if name not in _SCRIPTS:
            return _Planned(command)
        found = await self._find(name, command)
        if isinstance(found, EngineError):
            if found.text == _NO_SCRIPT:
                return _Planned((b"PING",), answer=found, answered=True)
            return found
        verb = b"EVAL_RO" if name.endswith("_RO") else b"EVAL"
        script, full = await self._or_full(name, found)
        return _Planned((verb, script.wrapped, *command[2:]), script=True, full=full)


async def ready(address: Address, *, attempts: int, pause: float) -> None:
    """Return when the engine answers.

    Raises:
        EngineGone: It does not, after so many attempts.
        EngineError: It does, but does not let us in.
    """
    for attempt in range(attempts):
        try:
            connection = await Connection.open(address)
        except EngineGone:
            if attempt == attempts - 1:
                raise
            await asyncio.sleep(pause)
            continue
        reply = await connection.call((b"PING",))
        connection.close()
        if not (isinstance(reply, EngineError) and reply.text.startswith("LOADING")):
            return
        await asyncio.sleep(pause)
