"""What the service lets through: commands, sizes, rights. In its own words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from .wire import EngineError, Reply

__all__ = [
    "MAX_KEY_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_REQUEST_BYTES",
    "CommandTable",
    "Limits",
    "name_of",
    "translated",
]

MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
MAX_RECORD_BYTES: Final = 100 * 1024 * 1024
MAX_KEY_BYTES: Final = 32 * 1024

_HELP: Final = "https://upstash.com/docs/redis"

# They belong to a connection, which a request has not, or to a path of their own.
_CONNECTION: Final = frozenset(
    {"AUTH", "HELLO", "QUIT", "RESET", "SELECT", "CLIENT", "READONLY", "READWRITE", "ASKING"}
    | {"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "MONITOR", "WAIT", "WAITAOF"}
    | {"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"}
    | {"BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"}
)
_BLOCK_OPTION: Final = frozenset({"XREAD", "XREADGROUP"})
# The engine's own household, which the service keeps to itself; all commands that the engine flags `admin` as well.
_HOUSEHOLD: Final = frozenset(
    {"ACL", "CONFIG", "CLUSTER", "LATENCY", "LOLWUT", "MODULE", "MIGRATE", "OBJECT", "SWAPDB", "MOVE", "ROLE"}
    | {"SLOWLOG", "COMMANDLOG", "PFDEBUG", "PFSELFTEST"}
)
_SCRIPTING: Final = frozenset({"EVAL", "EVALSHA", "FCALL", "SCRIPT", "FUNCTION"})
_READ_ONLY_SCRIPTS: Final = frozenset({"EVAL_RO", "EVALSHA_RO", "FCALL_RO"})
# Read commands that the read-only token may not use all the same, since they look at the whole database.
_POWERFUL: Final = frozenset({"SCAN", "KEYS", "RANDOMKEY", "DBSIZE"})
_ALWAYS: Final = frozenset({"PING", "ECHO", "TIME", "INFO"})


class Limits(NamedTuple):
    """Sizes that the service refuses to exceed, in bytes.

    Attributes:
        request: Of one command, and of one command's reply.
        record: Of one key's value.
        key: Of one key's name.
    """

    request: int = MAX_REQUEST_BYTES
    record: int = MAX_RECORD_BYTES
    key: int = MAX_KEY_BYTES

    def record_too_large(self, size: int) -> EngineError | None:
        """The refusal of a write that makes one key's value that large, if it is too large."""
        if size <= self.record:
            return None
        return EngineError(
            f"ERR max single record size exceeded. Limit: {self.record} bytes, Actual: {size} bytes. "
            f"See {_HELP}/troubleshooting/max_record_size_exceeded for details"
        )

    def too_large(self, size: int) -> EngineError | None:
        """The refusal of a command or reply of that size, if it is one too many."""
        if size <= self.request:
            return None
        return EngineError(
            f"ERR max request size exceeded. Limit: {self.request} bytes, Actual: {size} bytes. "
            f"See {_HELP}/troubleshooting/max_request_size_exceeded for details"
        )


def name_of(command: Sequence[bytes]) -> str:
    """A command's name, in capitals."""
    return command[0].decode("utf-8", "replace").upper()


class _Entry(NamedTuple):
    flags: frozenset[str]
    first: int
    last: int
    step: int


class CommandTable:
    """The engine's commands, and what the service thinks of each."""

    def __init__(self, reply: Reply, limits: Limits) -> None:
        """Of the engine's answer to COMMAND."""
        self._limits = limits
        self._entries: dict[str, _Entry] = {}
        assert isinstance(reply, list)
        for row in reply:
            assert isinstance(row, list)
            name, _, flags, first, last, step = row[:6]
            assert isinstance(name, bytes)
            assert isinstance(flags, list)
            assert isinstance(first, int)
            assert isinstance(last, int)
            assert isinstance(step, int)
            words = frozenset(flag.decode() for flag in flags if isinstance(flag, bytes))
            self._entries[name.decode().upper()] = _Entry(words, first, last, step)

    def refusal(self, command: Sequence[bytes], *, read_only: bool) -> EngineError | None:
        """Why the service does not run this command, or None.

        Args:
            command: Name and arguments.
            read_only: Whether the caller came with the read-only token.
        """
        name = name_of(command)
        if name in _CONNECTION or (name in _BLOCK_OPTION and b"BLOCK" in [word.upper() for word in command[1:5]]):
            return EngineError(f'ERR Command "{name}" is not allowed in REST or it has a special context path')
        entry = self._entries.get(name)
        if entry is None or name in _HOUSEHOLD or "admin" in entry.flags:
            return _unavailable(name)
        size = sum(map(len, command))
        if (large := self._limits.too_large(size)) is not None:
            return large
        if read_only and not self._readable(name, entry):
            return EngineError(
                f"NOPERM this user has no permissions to run the '{name.lower()}' command or its subcommand"
            )
        for key in self.keys(command):
            if len(key) > self._limits.key:
                return EngineError(
                    f"ERR max key size exceeded. Limit: {self._limits.key} bytes, Actual: {len(key)} bytes. "
                    f"See {_HELP}/troubleshooting/max_key_size_exceeded for details"
                )
        return None

    @staticmethod
    def _readable(name: str, entry: _Entry) -> bool:
        if name in _POWERFUL or name in _SCRIPTING:
            return False
        return name in _ALWAYS or name in _READ_ONLY_SCRIPTS or "readonly" in entry.flags

    def writes(self, command: Sequence[bytes]) -> bool:
        """Whether the command may write."""
        name = name_of(command)
        entry = self._entries.get(name)
        return name in ("EVAL", "EVALSHA", "FCALL") or (entry is not None and "write" in entry.flags)

    def grows(self, command: Sequence[bytes]) -> bool:
        """Whether the command may make the database larger."""
        name = name_of(command)
        entry = self._entries.get(name)
        return name in ("EVAL", "EVALSHA", "FCALL") or (entry is not None and "denyoom" in entry.flags)

    @property
    def growing(self) -> Collection[str]:
        """Names of the commands that may make the database larger, those that run scripts apart."""
        return [name for name, entry in self._entries.items() if "denyoom" in entry.flags and name not in _SCRIPTING]

    def keys(self, command: Sequence[bytes]) -> Sequence[bytes]:
        """The keys that the command names, as far as they stand at fixed places (for scripts: KEYS)."""
        name = name_of(command)
        if name in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"):
            return script_keys(command)
        entry = self._entries.get(name)
        if entry is None or entry.first <= 0:
            return ()
        last = entry.last if entry.last >= 0 else len(command) + entry.last
        return command[entry.first : last + 1 : max(1, entry.step)]


def script_keys(command: Sequence[bytes]) -> Sequence[bytes]:
    """The keys declared in the arguments of EVAL and its like; none if their number is malformed."""
    try:
        number = int(command[2])
    except (IndexError, ValueError):
        return ()
    return command[3 : 3 + number] if number > 0 else ()


def _unavailable(name: str) -> EngineError:
    return EngineError(f"ERR Command is not available: '{name}'. See {_HELP}/overall/rediscompatibility for details")


def translated(command: Sequence[bytes], reply: Reply) -> Reply:
    """The engine's reply, where the service would word an error otherwise."""
    if isinstance(reply, EngineError):
        text = reply.text
        if text.startswith("ERR unknown command"):
            return _unavailable(name_of(command))
        if text.endswith(DATABASE_FULL):
            return EngineError(DATABASE_FULL)  # raised in a script, and not caught
        if text.startswith("OOM ") or "script: OOM " in text:
            return EngineError(
                f"ERR DB capacity quota exceeded. See {_HELP}/troubleshooting/db_capacity_quota_exceeded for details"
            )
    return reply


QUOTA_EXCEEDED: Final = (
    "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. "
    f"See {_HELP}/troubleshooting/max_requests_limit for details"
)
DATABASE_FULL: Final = (
    "ERR DB capacity quota exceeded. Threshold: 268435456 bytes, Usage: 268979370 bytes. "
    f"See {_HELP}/troubleshooting/db_capacity_quota_exceeded for details"
)
WRONG_TOKEN: Final = (
    f"WRONGPASS invalid or missing auth token. See {_HELP}/troubleshooting/http_unauthorized for details"
)
