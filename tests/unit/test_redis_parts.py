"""The small parts of the backend on Redis: its description, a look at a database, keys of persons, limits, clients."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from eventsource_upstash import CorruptLog, Misuse, OutcomeUnknown, Refused, Unavailable, UpstashKeys, UpstashRedis
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.backends.redis import backend as backends
from eventsource_upstash.backends.redis.answered import MOST_TURNS, Turns, checked
from eventsource_upstash.backends.redis.backend import environment_problems
from eventsource_upstash.backends.redis.checking import look_at
from eventsource_upstash.backends.redis.documents import ended_by, has_ended, names_of, read_entries, stored
from eventsource_upstash.backends.redis.keys import Keys
from eventsource_upstash.backends.redis.limits import RedisLimiter
from eventsource_upstash.backends.redis.log import RedisLog
from eventsource_upstash.backends.redis.official import OfficialTransport
from eventsource_upstash.backends.redis.replies import Refusal
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.backends.redis.subject_keys import _Keys
from eventsource_upstash.backends.redis.transport import HttpTransport
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.indexes import NO_ENTRIES, Entries
from eventsource_upstash.domain.limits import Rule
from eventsource_upstash.ports import SubjectKey
from tests.faults.transport.support import Clocked, Said
from tests.unit.answering import LOST, Answering, log_over, run

URL = "https://eu1-good-fish.upstash.example"
TOKEN = "a-token"
ENVIRON = {backends.URL: URL, backends.TOKEN: TOKEN}


def cost(receipt: Receipt) -> tuple[int, int]:
    return receipt.requests, receipt.commands


class Client:
    """Looks like a client of the official package."""

    def __init__(self, answer: Callable[[list[str]], object] = lambda _: "OK") -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    def execute(self, command: list[str]) -> object:
        self.asked.append(command)
        return self.answer(command)


class TestDescription:
    """`UpstashRedis`: what it takes, and what it hands on."""

    @pytest.mark.parametrize("options", [
        {}, {"url": URL}, {"token": TOKEN}, {"url": URL, "token": ""}, {"url": URL, "token": "a b"},
        {"url": URL, "token": TOKEN, "client": Client()}, {"url": URL, "client": Client()},
        {"token": TOKEN, "client": Client()}, {"url": URL, "token": TOKEN, "roll_at": 0},
        {"url": URL, "token": TOKEN, "roll_at": 1.5}, {"url": URL, "token": TOKEN, "roll_at": True},
        {"url": URL, "token": TOKEN, "lost_after": 0}, {"url": URL, "token": TOKEN, "lost_after": -1.0},
        {"url": URL, "token": TOKEN, "lost_after": float("nan")}, {"url": URL, "token": TOKEN, "namespace": "a b"},
        {"url": URL, "token": TOKEN, "connect_timeout": 0}, {"url": URL, "token": TOKEN, "read_timeout": 0},
        {"url": URL, "token": TOKEN, "total_timeout": 0}, {"client": Client(), "total_timeout": 0},
        {"client": object()}, {"url": "ftp://x", "token": TOKEN},
    ])  # fmt: skip
    def test_what_it_cannot_be_made_of_is_misuse(self, options: dict[str, Any]) -> None:
        with pytest.raises(Misuse) as caught:
            UpstashRedis(**options)
        assert TOKEN not in str(caught.value)

    def test_what_it_is_given_is_what_its_log_and_views_have(self) -> None:
        backend = UpstashRedis(URL, TOKEN, namespace="ns", roll_at=1, lost_after=4.0, connect_timeout=1.0,
                               read_timeout=2.0, total_timeout=4.0)  # fmt: skip
        transport = cast("Any", backend.transport(blocking.PORT))
        assert isinstance(transport, HttpTransport)
        assert (transport._connect_timeout, transport._read_timeout, transport._total_timeout) == (1.0, 2.0, 4.0)
        assert backend.transport(blocking.PORT) is transport
        log, other = cast("Any", backend.log(blocking.PORT)), backend.log(blocking.PORT)
        assert isinstance(other, RedisLog)
        assert (log._roll_at, log._lost_after_us, log.keys.namespace) == (1, 4_000_000, "ns")
        assert (log.transport, log.archives) == (transport, other.archives)
        views = cast("Any", backend.views(blocking.PORT, log))
        assert isinstance(views, RedisViews)
        assert views._own is log  # they know that they are beside it
        elsewhere = UpstashRedis(URL, TOKEN, namespace="ns").log(blocking.PORT)
        assert cast("Any", backend.views(blocking.PORT, elsewhere))._own is None
        assert backend.mailbox(blocking.PORT) is None
        assert backend.namespace == "ns"
        assert repr(backend) == "UpstashRedis('eu1-good-fish.upstash.example', namespace='ns')"

    def test_any_time_above_none_will_do(self) -> None:
        short = {"connect_timeout": 0.5, "read_timeout": 0.5, "total_timeout": 0.5, "lost_after": 0.5, "roll_at": 1}
        assert UpstashRedis(URL, TOKEN, **cast("Any", short)).namespace == "events"

    def test_transports_of_one_database_share_what_they_have_seen(self) -> None:
        backend = UpstashRedis(URL, TOKEN)
        one, other = (
            cast("Any", backend.transport(blocking.PORT)),
            cast("Any", backend.transport(blocking.BlockingPort())),
        )
        assert one is not other
        assert one._tokens is other._tokens
        assert cast("Any", UpstashRedis(URL, TOKEN).transport(blocking.PORT))._tokens is not one._tokens

    def test_a_client_carries_instead_of_url_and_token(self) -> None:
        client = Client()
        backend = UpstashRedis(client=client, total_timeout=7.0)
        transport = cast("Any", backend.transport(blocking.PORT))
        assert isinstance(transport, OfficialTransport)
        assert transport._total_timeout == 7.0
        assert run(transport.command("GET", "k"))[0] == "OK"
        assert client.asked == [["get", "k"]]
        assert repr(backend) == "UpstashRedis(client=Client, namespace='events')"

    @pytest.mark.parametrize(
        ("given", "environ", "namespace"),
        [
            (None, {}, "events"),
            (None, {backends.NAMESPACE: "todo"}, "todo"),
            ("mine", {backends.NAMESPACE: "todo"}, "mine"),
            (None, {backends.NAMESPACE: ""}, "events"),
        ],
    )
    def test_it_is_found_in_an_environment(self, given: str | None, environ: dict[str, str], namespace: str) -> None:
        spaced = {name: f" {value}\n" for name, value in ENVIRON.items()}
        found = UpstashRedis.from_env(namespace=given, environ=spaced | environ)
        assert found.namespace == namespace
        transport = cast("Any", found.transport(blocking.PORT))
        assert (transport._url, transport._token) == (URL, TOKEN)

    def test_it_is_found_in_the_environment_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in ENVIRON.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(backends.NAMESPACE, "todo")
        assert UpstashRedis.from_env().namespace == "todo"

    @pytest.mark.parametrize("token", ["a b", "ü", "a\nb", "'quoted'", '"quoted"', "a\x7fb"])
    def test_what_no_token_holds_is_told_and_not_repeated(self, token: str) -> None:
        with pytest.raises(Misuse, match=f"^Redis: {backends.TOKEN} holds") as caught:
            UpstashRedis.from_env(environ=ENVIRON | {backends.TOKEN: token})
        assert token not in str(caught.value)

    @pytest.mark.parametrize("token", ["Xa", "a'b", '"'.join("ab"), "X"])
    def test_a_token_may_hold_anything_else(self, token: str) -> None:
        assert environment_problems(ENVIRON | {backends.TOKEN: token}) == []

    def test_everything_that_is_wrong_is_told_at_once(self) -> None:
        nothing = environment_problems({})
        assert [each.split(":")[0] for each in nothing] == [
            f"{backends.URL} is not set",
            f"{backends.TOKEN} is not set",
        ]
        blank = {backends.URL: " ", backends.TOKEN: "\n"}
        assert environment_problems(blank) == nothing
        wrong = {backends.URL: "ftp://secret", backends.TOKEN: TOKEN, backends.NAMESPACE: "a b"}
        told = environment_problems(wrong)
        assert [each.split(":")[0].split(" ")[0] for each in told] == [backends.URL, backends.NAMESPACE]
        assert "secret" not in str(told)
        assert len(environment_problems(wrong, namespace=False)) == 1
        assert environment_problems({**ENVIRON, backends.NAMESPACE: "good"}) == []

    def test_with_everything_that_is_wrong_from_env_says_so(self) -> None:
        with pytest.raises(Misuse, match=f"^Redis: {backends.URL} is not set.*; {backends.TOKEN} is not set"):
            UpstashRedis.from_env(environ={})


class TestLook:
    """A look at the database before anything depends on it."""

    PROBED: Sequence[object] = (["ok", 4], ["ok", 2, "9", [], False])

    def look(self, *answers: object, clock: Sequence[float] = (1_000.0, 1_000.0)) -> tuple[tuple[str, ...], Answering]:
        log, server = log_over(*self.PROBED, *answers)
        moments = iter(clock)
        told = run(look_at(log, lambda: next(moments)))
        assert not server.answers
        return told, server

    def test_nothing_is_said_where_all_is_well(self) -> None:
        told, server = self.look(["1000", "0"], "# Memory\r\nmaxmemory_policy:noeviction\r\n")
        assert told == ()
        assert server.asked[0].keys == ["{ns}:head", "{ns}:head-probe"]
        assert [asked.keys for asked in server.asked[2:]] == [["TIME"], ["INFO"]]

    @pytest.mark.parametrize("info", ["", None, Refusal("NOPERM this user may not"), "xmaxmemory_policy:allkeys-lru"])
    def test_nothing_is_said_of_what_is_not_told(self, info: object) -> None:
        assert self.look(["1000", "0"], info)[0] == ()

    def test_eviction_is_warned_of(self) -> None:
        ((told,), _) = self.look(["1000", "0"], "used:1\nmaxmemory_policy:allkeys-lru\r\nmore:2")
        assert told.startswith("eviction is switched on (allkeys-lru): ")

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            (1_005.0, 1_006.0, None),
            (1_006.0, 1_007.0, "6 s ahead of"),
            (995.0, 996.0, None),
            (993.0, 994.0, "6 s behind"),
            (900.0, 1_100.0, None),
            (1_005.75, 1_006.0, "5 s ahead of"),
            (1_600.0, 1_601.0, "600 s ahead of"),
            (400.0, 400.0, "600 s behind"),
            (1_005.5, 1_005.5, None),
            (995.5, 995.5, None),
            (995.25, 995.25, "5 s behind"),
        ],
    )
    def test_a_clock_that_is_off_is_warned_of(self, before: float, after: float, said: str | None) -> None:
        told, _ = self.look(["1000", "500000"], "", clock=(before, after))
        assert (said is None and told == ()) or f"this machine's clock is {said} the database's" in told[0]

    def test_all_that_is_doubtful_is_said(self) -> None:
        told, _ = self.look(["2000", "0"], "maxmemory_policy:volatile-ttl")
        assert [each.split(" ")[0] for each in told] == ["this", "eviction"]

    @pytest.mark.parametrize(
        ("time", "error"),
        [(["x", "0"], "Value"), ([], "Index"), (["1"], "Index"), (None, "Type"), (7, "Type"), (["1e9", "0"], "Value")],
    )
    def test_a_time_that_is_none_is_told(self, time: object, error: str) -> None:
        with pytest.raises(Refused, match=rf"Redis, the time: the answer is none .*\({error}Error\)"):
            self.look(time)


class TestReading:
    """Answers that cannot be read are errors of this library's."""

    def test_turns_end(self) -> None:
        turns = Turns()
        for _ in range(MOST_TURNS):
            turns.another()
        with pytest.raises(ValueError, match=f"after {MOST_TURNS} answers"):
            turns.another()

    def test_what_writes_leaves_the_outcome_unknown(self) -> None:
        @checked("put_it")
        class Asking:
            async def put_it(self, error: Exception) -> None:
                raise error

            async def get(self, error: Exception) -> None:
                raise error

            async def _inner(self, error: Exception) -> None:
                raise error

            def name(self) -> str:
                raise KeyError

        asking = Asking()
        told = r"Redis, put it: the answer is none of this library's scripts \(KeyError\); whether anything was written"
        with pytest.raises(OutcomeUnknown, match=told):
            run(asking.put_it(KeyError("secret")))
        with pytest.raises(Refused, match=r"Redis, get: .* \(TypeError\)\. ") as caught:
            run(asking.get(TypeError("secret")))
        assert "secret" not in str(caught.value)
        with pytest.raises(CorruptLog, match="mine"):
            run(asking.get(CorruptLog("mine")))
        with pytest.raises(OSError, match="not of the answer"):
            run(asking.get(OSError("not of the answer")))
        with pytest.raises(KeyError):
            run(asking._inner(KeyError()))
        with pytest.raises(KeyError):
            asking.name()


class TestDocuments:
    """A document, with what it is found by."""

    FOUND = Entries((("score", "7"), ("team", "a b")), 99)

    @pytest.mark.parametrize(("content", "entries", "text"), [
        (b"{}", NO_ENTRIES, "{}"), (b"", NO_ENTRIES, ""), (b"\n{}", NO_ENTRIES, "\n\n\n\n{}"),
        (b"{}", FOUND, "\n99\nscore 7\nteam a b\n\n{}"), (b"\xff", FOUND, "\n99\nscore 7\nteam a b\n\n\0/w=="),
        (b"{}", Entries((), 0), "\n0\n\n{}"), (b"{}", Entries((("score", "7"),), None), "\n\nscore 7\n\n{}"),
    ])  # fmt: skip
    def test_it_is_stored_and_read(self, content: bytes, entries: Entries, text: str) -> None:
        assert stored(content, entries) == text
        read, rest = read_entries(text)
        assert read == entries
        assert rest.encode() == content or rest.startswith("\0")

    @pytest.mark.parametrize(
        ("expires", "now", "ended"), [(None, 9, False), (9, 8, False), (9, 9, True), (9, 10, True)]
    )
    def test_it_ends_at_its_end(self, expires: int | None, now: int, ended: bool) -> None:
        assert has_ended(Entries((), expires), now) is ended

    def test_the_bound_is_behind_all_that_have_ended(self) -> None:
        (name,) = [name for set_, name in names_of("k", Entries((), 99)) if set_ == "ends"]
        assert name == f"{99:020d}\tk"
        bounds = [ended_by(now) for now in (98, 99, -7)]
        assert bounds == [f"({99:020d}", f"({100:020d}", f"({0:020d}"]
        assert bounds[0][1:] < name < bounds[1][1:]

    def test_it_stands_in_the_sets_that_it_is_found_by(self) -> None:
        names = [("index-score", "7\tk"), ("index-team", "a b\tk"), ("ends", f"{99:020d}\tk")]
        assert list(names_of("k", self.FOUND)) == names
        assert list(names_of("k", Entries((), -5))) == [("ends", f"{0:020d}\tk")]


class TestKeysOfPersons:
    """The key store."""

    def over(self, *answers: object) -> tuple[_Keys, Answering]:
        server = Answering(*answers)
        return _Keys(server, "ns"), server

    def test_keys_are_created_once_and_those_that_are_kept_come_back(self) -> None:
        mine, theirs = SubjectKey("k1", b"\0\1"), SubjectKey("k 2", b"\2")
        kept = [f"k1 {base64.b64encode(mine.secret).decode()}", "-", "+"]
        keys, server = self.over(["ok", 3, kept])
        found, receipt = run(keys.create_many({"ada": mine, "bob": theirs, "cleo": theirs}))
        assert found == {"ada": mine, "bob": None, "cleo": None}
        assert cost(receipt) == (1, 3)
        (asked,) = server.asked
        assert asked.keys == ["{ns}:subject:ada", "{ns}:subject:bob", "{ns}:subject:cleo"]
        assert asked.arguments == ["+", "k1 AAE=", "k 2 Ag==", "k 2 Ag=="]

    def test_only_those_are_found_that_there_are(self) -> None:
        keys, server = self.over(["ok", 2, ["k1 AAE=", None, "-"]])
        found, receipt = run(keys.get_many(["ada", "bob", "cleo"]))
        assert found == {"ada": SubjectKey("k1", b"\0\1"), "cleo": None}
        assert cost(receipt) == (1, 2)
        assert server.asked[0].arguments == []

    def test_many_are_asked_for_in_several_requests(self) -> None:
        names = [f"s{number}" for number in range(2_001)]
        answers = [["ok", 2, ["k AA=="] * 1_000], ["ok", 3, ["k AA=="] * 1_000], ["ok", 4, ["k AA=="]]]
        keys, server = self.over(*answers, *answers)
        found, receipt = run(keys.get_many(names))
        assert (list(found), cost(receipt)) == (names, (3, 9))
        made, receipt = run(keys.create_many(dict.fromkeys(names, SubjectKey("k", b"\0"))))
        assert (list(made), cost(receipt)) == (names, (3, 9))
        assert [len(asked.keys) for asked in server.asked] == [1_000, 1_000, 1] * 2
        assert server.asked[1].keys[0] == "{ns}:subject:s1000"

    def test_to_ask_writes_nothing(self) -> None:
        with pytest.raises(Unavailable, match="nothing was written"):
            run(self.over(*[LOST] * 6)[0].get_many(["ada"]))
        with pytest.raises(OutcomeUnknown):
            run(self.over(*[LOST] * 6)[0].create_many({"ada": SubjectKey("k", b"")}))

    def test_nobody_asked_for_costs_nothing(self) -> None:
        keys, _ = self.over()
        assert run(keys.get_many([])) == ({}, Receipt())

    @pytest.mark.parametrize("kept", [["k1 AAE="], ["k1 AAE="] * 3])
    def test_an_answer_about_others_is_none_of_ours(self, kept: list[str]) -> None:
        with pytest.raises(Refused, match="none of this library's scripts"):
            run(self.over(["ok", 2, kept])[0].get_many(["ada", "bob"]))
        offered = dict.fromkeys(("ada", "bob"), SubjectKey("k", b"\0"))
        with pytest.raises(OutcomeUnknown, match="none of this library's scripts"):
            run(self.over(["ok", 2, kept])[0].create_many(offered))

    def test_who_is_forgotten_and_readmitted(self) -> None:
        keys, server = self.over("OK", ["ok", 3])
        assert cost(run(keys.forget("ada"))) == (1, 1)
        assert cost(run(keys.readmit("ada"))) == (1, 3)
        assert server.asked[0] == (["SET"], ["{ns}:subject:ada", "-"])
        assert server.asked[1] == (["{ns}:subject:ada"], ["-", "+"])

    @pytest.mark.parametrize("text", ["k1 no base64", "k1 no base", "k1 AAE=!", "k1 AAE"])
    def test_what_is_no_key_is_told_and_not_repeated(self, text: str) -> None:
        with pytest.raises(CorruptLog, match=r"the-server: what stands at a key \{ns\}:subject:\.\.\. is no") as caught:
            run(self.over(["ok", 2, [text]])[0].get_many(["ada"]))
        assert text not in str(caught.value)

    def test_no_frame_of_a_failure_has_the_keys(self) -> None:
        keys, _ = self.over(Refusal("OOM"))
        with pytest.raises(Refused) as caught:
            run(keys.create_many({"ada": SubjectKey("k", b"the secret")}))
        below = caught.traceback[-1]
        assert below.name in ("create_many", "guarded")

    def test_a_client_carries_instead_of_url_and_token(self) -> None:
        client = Client()
        run(UpstashKeys(client=client).keys(blocking.PORT).forget("ada"))
        assert client.asked == [["set", "{keys}:subject:ada", "-"]]

    def test_its_description_names_no_token(self) -> None:
        store = UpstashKeys(URL, TOKEN)
        assert repr(store) == "UpstashKeys('eu1-good-fish.upstash.example', namespace='keys')"


class TestLimits:
    """Rate limits: each check is one script that is sent once, with its own timeout."""

    def take(self, algorithm: str, answer: object, taken: int = 1) -> tuple[Any, Answering]:
        server = Answering(answer)
        rule = Rule("api", 10, 60_000, cast("Any", algorithm), 5, 2.5)
        return run(RedisLimiter(server, Keys("ns")).take(rule, "ada", taken, 0)), server

    @pytest.mark.parametrize(
        ("algorithm", "answer", "taken", "commands", "allowed", "remaining"),
        [
            ("fixed", 1, 1, 3, True, 9),
            ("fixed", 3, 3, 3, True, 7),
            ("fixed", 11, 1, 2, False, 0),
            ("fixed", 10, 1, 2, True, 0),
            ("sliding", 4, 1, 5, True, 4),
            ("sliding", -1, 1, 3, False, 0),
            ("sliding", -1, 2, 5, False, 0),
            ("bucket", [4, 1_800_000_000_000], 1, 4, True, 4),
            ("bucket", [0, 1_800_000_000_000], 1, 4, True, 0),
            ("bucket", [-1, 1_800_000_000_000], 1, 2, False, 0),
        ],
    )
    def test_what_is_taken_and_what_it_costs(
        self, algorithm: str, answer: object, taken: int, commands: int, allowed: bool, remaining: int
    ) -> None:
        found, server = self.take(algorithm, answer, taken)
        assert (found.allowed, max(0, found.remaining)) == (allowed, remaining)
        assert cost(found.receipt) == (1, commands)
        begin = f"{{ns}}:limit-{algorithm}-60000:api:ada"
        assert all(key.startswith(begin) for key in server.asked[0].keys)
        if algorithm == "bucket":
            assert found.reset_ms == 1_800_000_000_000
            assert server.asked[0].arguments[:3] == ["10", "60000", "5"]
        else:
            assert 0 < found.reset_ms - found.now_ms <= 60_000

    def test_a_moment_that_no_calendar_has_is_none(self) -> None:
        last = 253_402_214_400_000
        assert self.take("bucket", [1, last])[0].reset_ms == last
        assert self.take("bucket", [1, 0])[0].reset_ms == 0
        for reset in (last + 1, -1):
            with pytest.raises(OutcomeUnknown, match="none of this library's scripts"):
                self.take("bucket", [1, reset])

    def test_an_answer_that_is_lost_is_not_asked_for_again(self) -> None:
        with pytest.raises(OutcomeUnknown, match=r"script 'ratelimit': .* not sent again, since it would count twice"):
            self.take("fixed", LOST)

    def test_a_check_has_the_time_of_its_rule(self) -> None:
        port = Said(HttpResponse(200, {}, b'{"result":1}'))
        limiter = RedisLimiter(HttpTransport(port, URL, TOKEN, clock=port.clock), Keys("ns"))
        run(limiter.take(Rule("api", 10, 60_000, "fixed", 10, 2.5), "ada", 1, 0))
        assert [round(sent.timeout, 3) for sent in port.sent] == [2.5]


class TestClients:
    """A client of the official package as what carries commands."""

    def test_its_errors_are_sorted_by_their_name(self) -> None:
        class UpstashError(Exception):
            pass

        class Mine(UpstashError):
            pass

        def refuse(_: list[str]) -> object:
            raise Mine("WRONGPASS invalid token")

        transport = OfficialTransport(blocking.PORT, Client(refuse))
        with pytest.raises(Refused, match=r"test_redis_parts\.Client: command GET: .*WRONGPASS.*Check the token"):
            run(transport.command("GET", "k"))

    def test_another_failure_may_have_been_done(self) -> None:
        def fail(_: list[str]) -> object:
            raise OSError("secret")

        client = Client(fail)
        transport = OfficialTransport(blocking.PORT, client, attempts=1)
        with pytest.raises(OutcomeUnknown, match=r"the client failed \(OSError\) \(1 attempt") as caught:
            run(transport.command("SET", "k", "V"))
        assert "secret" not in str(caught.value)
        assert client.asked == [["set", "k", "V"]]

    def test_its_pauses_are_drawn(self) -> None:
        def fail(_: list[str]) -> object:
            raise OSError

        port = Clocked(blocking.PORT)
        transport = OfficialTransport(port, Client(fail), clock=port.clock, draw=lambda: 0.5)
        with pytest.raises(Unavailable, match="3 attempts"):
            run(transport.command("GET", "k"))
        assert port.slept == [0.05, 0.1]

    def test_its_time_is_told_by_the_clock_that_it_is_given(self) -> None:
        port = Clocked(blocking.PORT)

        def fail(_: list[str]) -> object:
            port.now += 12.0
            raise OSError

        transport = OfficialTransport(port, Client(fail), clock=port.clock, draw=lambda: 0.5)
        with pytest.raises(Unavailable, match="2 attempts"):
            run(transport.command("GET", "k"))

    def test_a_step_that_has_no_time_left_is_given_a_moment(self) -> None:
        port, given = Clocked(blocking.PORT), list[float]()

        class UpstashError(Exception):
            pass

        class Slow(OfficialTransport):
            async def _execute(self, words: list[str], seconds: float) -> object:
                given.append(seconds)
                port.now += 30.0
                if len(given) == 1:
                    raise UpstashError("NOSCRIPT No matching script")
                return "OK"

        transport = Slow(port, Client(), clock=port.clock)
        run(transport.script(Script("mine", "return 1"), ["k"], []))
        assert given == [20.0, 0.001]

    def test_what_is_sent_is_on_the_receipt(self) -> None:
        _, receipt = run(OfficialTransport(blocking.PORT, Client()).command("GET", "K"))
        assert receipt == Receipt(1, 1, 0, 0, 0)

    def test_what_is_no_client_is_told(self) -> None:
        with pytest.raises(Misuse, match=r"^object is no client of Redis"):
            OfficialTransport(blocking.PORT, cast("Any", object()))

    def test_it_has_three_attempts_and_twenty_seconds(self) -> None:
        transport = cast("Any", OfficialTransport(blocking.PORT, Client()))
        assert (transport._attempts, transport._total_timeout, transport.where) == (3, 20.0, f"{__name__}.Client")
