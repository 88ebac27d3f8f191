"""Scripts: what is billed, key-based locking, errors. Sources: the service's pages Key-Based Locking and EVAL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from eventsource_upstash.local import LocalUpstash
from tests.local.conftest import Rest

LOCKING = "#!lua flags=allow-key-locking\n"


def refusal(key: str) -> str:
    # The page's own words.
    return (
        f"ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: {key}"
    )  # fmt: skip


def cost(rest: Rest, *command: object) -> int:
    before = rest.counted().get("commands", 0)
    rest.post(command)
    return rest.counted()["commands"] - before


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ("return 1", 0),
        ("return redis.call('GET', KEYS[1])", 1),
        ("for i = 1, 20 do redis.call('INCR', KEYS[1]) end return 1", 20),
        ("redis.pcall('NOSUCH') redis.pcall('LPUSH') return redis.call('INCR', KEYS[1])", 3),
        ("return server.call('GET', KEYS[1])", 1),
        ("local call = redis.call return {call('GET', KEYS[1]), pcall(call, 'NOSUCH')}", 2),
        ("redis.call('INCR', KEYS[1]) error('over')", 1),
        ("redis.call('INCR', KEYS[1]) redis.call('LPUSH', KEYS[1], 1) redis.call('INCR', KEYS[1])", 2),
        ("local t = {} for i = 1, 3 do t[i] = coroutine.wrap(function() redis.call('INCR', KEYS[1]) end)() end", 3),
    ],
)
@pytest.mark.parametrize("shebang", ["", LOCKING])
def test_each_call_is_billed_and_the_script_itself(rest: Rest, key: str, script: str, calls: int, shebang: str) -> None:
    assert cost(rest, "EVAL", shebang + script, 1, key) == 1 + calls
    sha = rest.result("SCRIPT", "LOAD", shebang + script)
    assert cost(rest, "EVALSHA", sha, 1, key) == 1 + calls
    before = rest.counted()["commands"]
    rest.post([["EVAL", shebang + script, 1, key], ["PING"]], "/multi-exec")
    assert rest.counted()["commands"] - before == 2 + calls


def test_calls_are_counted_by_name(rest: Rest, key: str) -> None:
    rest.result(
        "EVAL", "redis.call('set', KEYS[1], 1) redis.call('Get', KEYS[1]) return redis.call('GET', KEYS[1])", 1, key
    )
    counted = rest.counted()
    assert (counted["command:EVAL"], counted["command:SET"], counted["command:GET"]) == (1, 1, 2)
    assert (counted["commands"], counted["requests"]) == (4, 1)


@pytest.mark.parametrize(
    "call",
    [
        "'GET', '{0}'",
        "'SET', '{0}', '1'",
        "'get', 'k' .. string.sub('{0}', 2)",
        "'MGET', KEYS[1], '{0}'",
        "'MSET', KEYS[1], 1, '{0}', 2",
        "'DEL', KEYS[1], '{0}'",
        "'RENAME', KEYS[1], '{0}'",
        "'ZUNIONSTORE', KEYS[1], 1, '{0}'",
        "'ZUNIONSTORE', '{0}', 1, KEYS[1]",
        "'ZINTER', 2, KEYS[1], '{0}'",
        "'XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], '{0}', 0, 0",
        "'XADD', '{0}', '*', 'f', 'v'",
        "'LMOVE', KEYS[1], '{0}', 'LEFT', 'RIGHT'",
        "'SORT', KEYS[1], 'STORE', '{0}'",
        "'HSET', '{0}', 'f', 1",
        "'BITOP', 'NOT', KEYS[1], '{0}'",
        "'GEOSEARCHSTORE', '{0}', KEYS[1], 'FROMLONLAT', 1, 1, 'BYRADIUS', 1, 'm'",
    ],
)
@pytest.mark.parametrize("verb", ["call", "pcall"])
def test_undeclared_key_is_refused(rest: Rest, key: str, call: str, verb: str) -> None:
    other = f"{key}:other"
    script = f"return redis.{verb}({call.format(other)})"
    error = rest.error("EVAL", LOCKING + script, 1, key)
    assert error.endswith(refusal(other))
    assert rest.result("EXISTS", other) == 0
    # Declared, the same call is let through (and may then fail for its own reasons).
    answer = rest.post(["EVAL", LOCKING + script, 2, key, other]).json()
    assert "Dynamic keys" not in str(answer)
    assert "Dynamic keys" not in str(rest.post(["EVAL", script, 1, key]).json())


def test_key_that_is_put_together_inside_is_fine_if_it_is_declared(rest: Rest, key: str) -> None:
    script = LOCKING + "redis.call('SET', 'k' .. ARGV[1], 'v') return redis.call('GET', KEYS[1])"
    assert rest.result("EVAL", script, 1, key, key[1:]) == "v"


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL", "flushdb"])
def test_database_wide_writes_are_refused_with_the_flag(rest: Rest, key: str, command: str) -> None:
    rest.result("SET", key, "v")
    assert "allow-key-locking" in rest.error("EVAL", f"{LOCKING}return redis.call('{command}')", 0)
    assert rest.result("GET", key) == "v"


def test_commands_without_keys_are_fine_with_the_flag(rest: Rest) -> None:
    assert rest.result("EVAL", LOCKING + "return redis.call('TIME')[1]", 0)
    assert rest.result("EVAL", LOCKING + "return redis.call('ECHO', 'x')", 0) == "x"


def test_flag_together_with_another(rest: Rest, key: str) -> None:
    shebang = "#!lua flags=no-writes,allow-key-locking\n"
    assert rest.result("EVAL", shebang + "return redis.call('EXISTS', KEYS[1])", 1, key) == 0
    assert "Write commands are not allowed" in rest.error(
        "EVAL", shebang + "return redis.call('SET', KEYS[1], 1)", 1, key
    )
    assert rest.error("EVAL", shebang + "return redis.call('GET', 'other')", 1, key).endswith(refusal("other"))


@pytest.mark.parametrize("shebang", ["", LOCKING, "#!lua\n", "#!lua flags=no-writes\n"])
def test_values_come_back_as_from_the_engine(rest: Rest, shebang: str) -> None:
    script = shebang + "return {1, 2.9, 'a', false, true, {}, {1, {'deep'}}, nil, 'lost'}"
    assert rest.result("EVAL", script, 0) == [1, 2, "a", None, 1, [], [1, ["deep"]]]
    expected: list[tuple[str, object]] = [
        ("return nil", None),
        ("", None),
        ("return false", None),
        ("return true", 1),
        ("return redis.status_reply('FINE')", "FINE"),
        ("return {ok = 'FINE'}", "FINE"),
        ("return 9007199254740993", 9007199254740992),  # Lua's numbers are floats
        ("return '9007199254740993'", "9007199254740993"),
        ("return -3.7", -3),
        ("return ARGV", []),
        ("return {} -- a comment at the end", []),
    ]
    for source, value in expected:
        assert rest.result("EVAL", shebang + source, 0) == value, source


def test_binary_through_a_script(rest: Rest, key: str) -> None:
    rest.client.post(f"/set/{key}", content=bytes(range(256)))
    answer = rest.post(["EVAL", "return redis.call('GET', KEYS[1])", 1, key], headers={"Upstash-Encoding": "base64"})
    plain = rest.post(["GET", key], headers={"Upstash-Encoding": "base64"})
    assert answer.json() == plain.json()


@pytest.mark.parametrize("shebang", ["", LOCKING])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("\n\nerror('over')", "ERR Error running script: @user_script:{}: over"),
        (
            "local x = nil\n\nreturn x.y",
            "ERR Error running script: @user_script:{}: attempt to index local 'x' (a nil value)",
        ),
        ("error({err = 'MINE gone'})", "ERR Error running script: MINE gone"),
        ("return redis.call('LPUSH', KEYS[1], 1)", "ERR Error running script: WRONGTYPE Operation against a key"),
        ("return redis.pcall('LPUSH', KEYS[1], 1)", "WRONGTYPE Operation against a key"),
        ("return redis.error_reply('MINE gone')", "MINE gone"),
        ("return {err = 'MINE gone'}", "MINE gone"),
        ("syntax error", "ERR Error compiling script"),
        ("return 1 end function f()", "ERR Error compiling script"),
        ("return nosuchglobal", "ERR Error running script: @user_script:"),
        ("made = 1", "ERR Error running script: @user_script:"),
    ],
)
def test_errors(rest: Rest, key: str, script: str, error: str, shebang: str) -> None:
    # The wrapping in "Error running script: @user_script:LINE: ..." was reported by users of the service.
    rest.result("SET", key, "a string")
    line = 3 + shebang.count("\n")
    assert rest.error("EVAL", shebang + script, 1, key).startswith(error.format(line))


def test_scripts_are_known_by_the_sha_of_what_was_sent(rest: Rest, key: str) -> None:
    script = f"{LOCKING}return '{key}'"
    sha = hashlib.sha1(script.encode()).hexdigest()
    assert rest.error("EVALSHA", sha, 0) == "NOSCRIPT No matching script. Please use EVAL."
    assert rest.result("SCRIPT", "EXISTS", sha) == [0]
    assert rest.result("EVAL", script, 0) == key
    assert rest.result("EVALSHA", sha, 0) == key
    assert rest.result("EVALSHA_RO", sha.upper(), 0) == key
    assert rest.result("SCRIPT", "EXISTS", sha, "0" * 40) == [1, 0]
    assert rest.result("SCRIPT", "LOAD", script) == sha


def test_script_that_does_not_compile_is_not_kept(rest: Rest, key: str) -> None:
    script = f"nonsense {key}"
    assert rest.error("SCRIPT", "LOAD", script).startswith("ERR Error compiling script")
    assert rest.result("SCRIPT", "EXISTS", hashlib.sha1(script.encode()).hexdigest()) == [0]


def test_script_flush(caller: str) -> None:
    with LocalUpstash() as own:
        rest = Rest(own, caller)
        with rest.client:
            sha = rest.result("SCRIPT", "LOAD", "return 1")
            assert rest.result("EVALSHA", sha, 0) == 1
            assert rest.result("SCRIPT", "FLUSH") == "OK"
            assert rest.error("EVALSHA", sha, 0).startswith("NOSCRIPT")


def test_read_only_scripts(rest: Rest, key: str) -> None:
    rest.result("SET", key, "v")
    assert rest.result("EVAL_RO", LOCKING + "return redis.call('GET', KEYS[1])", 1, key) == "v"
    assert "Write commands are not allowed" in rest.error("EVAL_RO", "return redis.call('SET', KEYS[1], 'x')", 1, key)
    assert rest.result("GET", key) == "v"


def test_long_script_and_many_locals(rest: Rest) -> None:
    long = "local sum = 0\n" + "sum = sum + 1\n" * 20_000 + "return sum"
    assert rest.result("EVAL", long, 0) == 20_000
    # Lua allows 200 local variables in a function: the prelude takes none of the script's.
    many = "\n".join(f"local v{n} = {n}" for n in range(200)) + "\nreturn v199"
    assert rest.result("EVAL", LOCKING + many, 0) == 199


@pytest.mark.parametrize("arguments", [(), ("return 1",), ("return 1", "x"), ("return 1", -1), ("return 1", 2, "one")])
def test_malformed_calls(rest: Rest, arguments: tuple[object, ...]) -> None:
    assert rest.error("EVAL", *arguments).startswith("ERR ")


@pytest.fixture(scope="module")
def plain() -> Iterator[LocalUpstash]:
    with LocalUpstash(key_locking=False) as running:
        yield running


def test_service_without_key_locking_refuses_the_flag_in_the_words_of_redis(plain: LocalUpstash, caller: str) -> None:
    rest = Rest(plain, caller)
    with rest.client:
        error = "ERR Unexpected flag in script shebang: allow-key-locking"
        assert rest.error("EVAL", LOCKING + "return 1", 0) == error
        assert rest.error("SCRIPT", "LOAD", LOCKING + "return 1") == error
        assert rest.result("EVAL", "return redis.call('GET', 'undeclared')", 0) is None
