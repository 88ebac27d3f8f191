"""Scripts: what the service does with them that a plain engine does not.

Each script runs inside a function, behind a prelude of one line, so that lines keep their numbers. The prelude puts
another `redis` before the script, which counts the commands (each is billed) and, if the script's first line has the
flag `allow-key-locking`, refuses keys that are not among KEYS. What comes back is `{counts, failed, refused, result}`,
also when the script raises an error. `Script.when_full` refuses as well what a full database does.

Not seen: commands that a script hides from its text (`_G.redis.call`, `loadstring`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from .wire import EngineError, Reply

__all__ = ["KEY_LOCKING", "Script", "Scripts", "Unwrapped", "sha_of", "unwrap"]

KEY_LOCKING: Final = "allow-key-locking"

# One line. `...` is passed through whole; pcall gives an error as a value, call raises it, as the real ones do.
_PRELUDE: Final = (
    "local __dev = {counts={}, refused=0, call=redis.call, pcall=redis.pcall, upper=string.upper, type=type, "
    "pcall_=pcall, error=error} "
    "__dev.seen = function(name) name = __dev.upper(name) "
    "__dev.counts[name] = (__dev.counts[name] or 0) + 1 end "
)
_FREE: Final = (
    "local redis = setmetatable({"
    "call = function(...) local name = ... if __dev.type(name) == 'string' then __dev.seen(name) end "
    "return __dev.call(...) end, "
    "pcall = function(...) local name = ... if __dev.type(name) == 'string' then __dev.seen(name) end "
    "return __dev.pcall(...) end"
    "}, {__index = redis}) "
)
# Which arguments are keys is the engine's to say (COMMAND GETKEYS), for every command, also where keys move about.
# A command without keys is let through; one that the engine does not know, or that is malformed, fails by itself.
_LOCKED: Final = (
    "__dev.declared = {} for _, key in ipairs(KEYS) do __dev.declared[key] = true end "
    "__dev.whole = {FLUSHDB=true, FLUSHALL=true, SWAPDB=true} __dev.ipairs = ipairs "
    "__dev.refuse = function(...) local name = ... "
    "if __dev.type(name) ~= 'string' then return nil end __dev.seen(name) "
    "if __dev.whole[__dev.upper(name)] then return {err = 'ERR ' .. __dev.upper(name) .. "
    "\" is not allowed in Lua scripts when 'allow-key-locking' flag is set\"} end "
    "local keys = __dev.pcall('COMMAND', 'GETKEYS', ...) if keys.err then return nil end "
    "for _, key in __dev.ipairs(keys) do if not __dev.declared[key] then return {err = "
    "\"ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: \" .. key} "
    "end end "
    "end "
    "local redis = setmetatable({"
    "call = function(...) local refusal = __dev.refuse(...) if refusal then __dev.error(refusal, 0) end "
    "return __dev.call(...) end, "
    "pcall = function(...) local refusal = __dev.refuse(...) if refusal then return refusal end "
    "return __dev.pcall(...) end"
    "}, {__index = redis}) "
)
# In front of the one or the other. Not counted: what the service refuses is not billed.
_FULL: Final = (
    "__dev.inner = redis __dev.grows = {{{grows}}} "
    "__dev.over = function(name) if __dev.type(name) == 'string' and __dev.grows[__dev.upper(name)] then "
    "__dev.refused = __dev.refused + 1 return {{err = '{error}'}} end end "
    "local redis = setmetatable({{"
    "call = function(...) local refusal = __dev.over((...)) if refusal then __dev.error(refusal, 0) end "
    "return __dev.inner.call(...) end, "
    "pcall = function(...) return __dev.over((...)) or __dev.inner.pcall(...) end"
    "}}, {{__index = redis}}) "
)
_MARK: Final = "local server = redis "
_OPEN: Final = _MARK + "local function __script({}) "
_CLOSE: Final = (
    "\nend local __ok, __result = __dev.pcall_(__script, ...) local __counts = {} "
    "for name, n in pairs(__dev.counts) do __counts[#__counts + 1] = name __counts[#__counts + 1] = n end "
    "if __ok then return {__counts, 0, __dev.refused, __result} end "
    "if type(__result) == 'table' then __result = __result.err or 'unknown error' end "
    "return {__counts, 1, __dev.refused, tostring(__result)}"
)


def sha_of(text: bytes) -> str:
    """The name that a script has, for callers and engines alike."""
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


class Script(NamedTuple):
    """A script, made ready.

    Attributes:
        plain: The text as the engine is to compile it, for its opinion on the syntax.
        wrapped: The text that is run.
        wrapped_sha: The name of `wrapped`.
        locks: Whether it locks its keys only.
        writes: Whether it may write, as far as its flags tell.
    """

    plain: bytes
    wrapped: bytes
    wrapped_sha: bytes
    locks: bool
    writes: bool

    @classmethod
    def of(cls, text: bytes, *, key_locking: bool) -> Script:
        """Made of what the caller sent.

        Args:
            text: The script.
            key_locking: Whether to honour the flag; if not, the engine is left to refuse it in its own words.
        """
        shebang, flags, body, plain = b"", [], text, text
        if text.startswith(b"#!"):
            first, _, rest = text.partition(b"\n")
            words = first.split()
            flags = [flag for word in words if word.startswith(b"flags=") for flag in word[6:].split(b",")]
            if key_locking and KEY_LOCKING.encode() in flags:
                others = [flag for flag in flags if flag != KEY_LOCKING.encode()]
                kept = [word for word in words if not word.startswith(b"flags=")]
                first = b" ".join([*kept, b"flags=" + b",".join(others)]) if others else b""
                plain = first + b"\n" + rest
            shebang, body = (first + b"\n", rest) if first else (b"", b"\n" + rest)
        locks = key_locking and KEY_LOCKING.encode() in flags
        # A function with `...` has a local variable of its own, one of the 200 that the script may have.
        head = _PRELUDE + (_LOCKED if locks else _FREE) + _OPEN.format("..." if b"..." in body else "")
        wrapped = shebang + head.encode() + body + _CLOSE.encode()
        return cls(plain, wrapped, sha_of(wrapped).encode(), locks, b"no-writes" not in flags)

    def when_full(self, grows: Collection[str], error: str) -> Script:
        """The script as it runs on a database that is full: these commands raise this error when it calls them.

        Args:
            grows: Names of commands, in capitals.
            error: Without quotes in it.
        """
        full = _FULL.format(grows=",".join(f"['{name}']=true" for name in sorted(grows)), error=error)
        wrapped = self.wrapped.replace(_MARK.encode(), (full + _MARK).encode(), 1)
        return self._replace(wrapped=wrapped, wrapped_sha=sha_of(wrapped).encode())


class Scripts:
    """The server's own table: a script is known by the SHA of what its caller sent, shebang and all."""

    def __init__(self, *, key_locking: bool) -> None:
        """Empty.

        Args:
            key_locking: As in `Script.of`.
        """
        self._key_locking = key_locking
        self._known: dict[str, Script] = {}

    def get(self, sha: str) -> Script | None:
        """The script of that name, in any case of letters."""
        return self._known.get(sha.lower())

    def prepare(self, text: bytes) -> tuple[str, Script, bool]:
        """A script with its name, and whether the engine has compiled it already. Not known by that yet."""
        sha = sha_of(text)
        known = self._known.get(sha)
        if known is not None:
            return sha, known, True
        return sha, Script.of(text, key_locking=self._key_locking), False

    def keep(self, sha: str, script: Script) -> None:
        """From now on it is known: the engine has compiled it."""
        self._known[sha] = script

    def flush(self) -> None:
        """Forget all."""
        self._known.clear()


class Unwrapped(NamedTuple):
    """What a script did.

    Attributes:
        calls: How often it called each command.
        reply: What it returned, or its error.
        refused: How many of its calls were refused since the database is full.
    """

    calls: Mapping[str, int]
    reply: Reply
    refused: int = 0


def unwrap(reply: Reply) -> Unwrapped:
    """The counts and the result of a wrapped script; a plain error if the engine never ran it."""
    if not isinstance(reply, list):
        return Unwrapped({}, reply)
    counts, failed, refused = reply[:3]
    assert isinstance(counts, list)
    calls = dict(zip(map(_name, counts[::2]), map(_number, counts[1::2]), strict=True))
    result = reply[3] if len(reply) > 3 else None
    if failed:
        text = result.decode("utf-8", "replace") if isinstance(result, bytes) else "unknown error"
        where = "@" if text.startswith("user_script:") else ""
        return Unwrapped(calls, EngineError(f"ERR Error running script: {where}{text}"), _number(refused))
    return Unwrapped(calls, result, _number(refused))


def _name(value: Reply) -> str:
    assert isinstance(value, bytes)
    return value.decode("utf-8", "replace")


def _number(value: Reply) -> int:
    assert isinstance(value, int)
    return value
