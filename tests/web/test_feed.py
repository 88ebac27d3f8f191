"""The change feed over HTTP: attach, history, live; nothing is lost, and nothing told twice."""

from __future__ import annotations

import random
import threading

import pytest

from eventsource_upstash.web import Response
from tests.web.players import Caller, Left, Noise, Player, Players, Reader, Retired, Scored, messages


def test_a_reader_is_told_what_there_is_and_then_what_changes(players: Players, caller: Caller) -> None:
    players.score(("a", 1), ("b", 2))
    reader = Reader()
    assert reader.read(caller) == [("reset", None), ("put", "a"), ("put", "b"), ("level", None)]
    assert reader.documents == players.documents()
    assert reader.read(caller) == []
    players.score(("b", 5), ("c", 1))
    players.tell(Left("a"))
    assert reader.read(caller) == [("put", "b"), ("put", "c"), ("delete", "a")]
    assert reader.documents == players.documents()
    assert reader.read(caller) == []


def test_a_document_that_changed_several_times_is_told_once_as_it_is_now(players: Players, caller: Caller) -> None:
    reader = Reader()
    reader.read(caller)
    players.score(("a", 1), ("b", 1), ("a", 1), ("a", 1))
    players.tell(Left("b"))
    players.score(("b", 7))
    assert reader.read(caller) == [("put", "a"), ("put", "b")]
    assert reader.documents == players.documents()


def test_a_delete_does_not_overtake(players: Players, caller: Caller) -> None:
    reader = Reader()
    reader.read(caller)
    players.score(("a", 1), ("b", 1))
    players.tell(Left("a"))
    players.score(("c", 1))
    assert reader.read(caller) == [("put", "b"), ("delete", "a"), ("put", "c")]


@pytest.mark.parametrize("cut", range(12))
def test_a_connection_that_breaks_loses_and_doubles_nothing(players: Players, caller: Caller, cut: int) -> None:
    """Broken off after each event, with changes before it is back, of one document in a commit and of several."""
    players.score(*((name, 1) for name in "acegi"))
    reader = Reader()
    told = 0

    def change() -> None:
        players.tell(Scored("b", 1), Scored("c", 1), Scored("h", 1), Left("e"))
        players.score(("a", 1), ("b", 1))

    for message in caller.feed():
        if told == cut:
            break
        reader.take(message)
        told += 1
    change()
    for message in caller.feed(reader.last):
        if told >= cut + 2:
            break
        reader.take(message)
        told += 1
    change()
    reader.read(caller)
    assert reader.documents == players.documents()
    assert reader.read(caller) == []


def test_a_connection_that_breaks_after_each_event(players: Players, caller: Caller) -> None:
    players.score(("a", 1), ("b", 1), ("c", 1))
    reader = Reader()
    assert reader.read_one_by_one(caller) == [
        ("reset", None),
        ("put", "a"),
        ("put", "b"),
        ("put", "c"),
        ("level", None),
    ]
    players.tell(Scored("x", 1), Scored("a", 1), Left("b"), Scored("y", 1))
    players.score(("a", 1))
    told = reader.read_one_by_one(caller)
    assert sorted(told) == [("delete", "b"), ("put", "a"), ("put", "x"), ("put", "y")]
    assert reader.documents == players.documents()


def test_a_long_history_and_a_large_commit_are_told_in_parts(players: Players, caller: Caller) -> None:
    players.tell(*(Scored(f"p{number:03}", 1) for number in range(250)))
    reader = Reader()
    told = reader.read(caller)
    assert len(told) == 252
    assert reader.documents == players.documents()
    players.tell(*(Scored(f"p{number:03}", 1) for number in range(230)))
    assert len(reader.read(caller)) == 230
    assert reader.documents == players.documents()


def test_what_changes_while_the_history_is_told(players: Players, caller: Caller) -> None:
    """A page is told, then the told and the untold change: the untold are told once, as they are."""
    players.tell(*(Scored(f"p{number:03}", 1) for number in range(250)))
    reader = Reader()
    feed = caller.feed()
    for _ in range(60):
        reader.take(next(feed))
    players.tell(Scored("p000", 5), Left("p001"), Scored("p200", 5), Left("p201"), Scored("p300", 1))
    for message in feed:
        reader.take(message)
    reader.read(caller)
    assert reader.documents == players.documents()
    told = [key for event, key in reader.log if event == "put"]
    assert told.count("p000") == 2
    assert told.count("p200") == 1
    assert ("delete", "p001") in reader.log
    assert (("delete", "p201") in reader.log, told.count("p201")) == (False, 0)


def test_history_goes_on_although_more_changes_than_are_kept(players: Players, caller: Caller) -> None:
    players.tell(*(Scored(f"p{number:03}", 1) for number in range(350)))
    reader = Reader()
    feed = caller.feed()
    for message in feed:
        reader.take(message)
        if message.data.get("key") in {"p050", "p150", "p250"}:
            for _ in range(4):
                players.tell_each(*(Scored(f"p{number:03}", 1) for number in range(25)))
    reader.read(caller)
    assert [event for event, _ in reader.log].count("reset") == 1
    assert reader.documents == players.documents()


def test_a_rebuild_is_a_reset(players: Players, caller: Caller) -> None:
    players.score(("a", 1), ("b", 2))
    reader = Reader()
    reader.read(caller)
    players.app.projector.rebuild(players.players)
    assert reader.read(caller) == [("reset", None), ("put", "a"), ("put", "b"), ("level", None)]
    players.score(("a", 1))
    assert reader.read(caller) == [("put", "a")]
    assert reader.documents == players.documents()
    assert players.app.projector.go_back(players.players) is not None
    reader.read(caller)
    assert reader.documents == players.documents()


@pytest.mark.parametrize("cut", range(5))
def test_a_rebuild_while_the_history_is_told(players: Players, caller: Caller, cut: int) -> None:
    players.score(("a", 1), ("b", 2), ("c", 2))
    reader = Reader()
    for message, _ in zip(caller.feed(), range(cut), strict=False):
        reader.take(message)
    players.tell(Left("a"))
    players.app.projector.rebuild(players.players)
    reader.read(caller)
    assert reader.documents == players.documents()


def test_a_reader_that_was_away_too_long_begins_anew(players: Players, caller: Caller) -> None:
    reader = Reader()
    players.score(("a", 1))
    reader.read(caller)
    players.tell_each(*(Scored("a", 1 + number % 7) for number in range(257)))
    assert reader.read(caller) == [("reset", None), ("put", "a"), ("level", None)]
    assert reader.documents == players.documents()


def test_what_ends_is_told_once_it_is_deleted(players: Players, caller: Caller) -> None:
    players.score(("a", 1), ("b", 1))
    reader = Reader()
    reader.read(caller)
    players.tell(Retired("a"))
    players.app.projector.catch_up()
    assert {key for event, key in reader.read(caller) if event == "delete"} == {"a"}
    assert set(reader.documents) == {"b"}


def test_without_history_the_reader_reads_by_itself(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    reader = Reader()
    assert reader.read(caller, "history=no") == [("reset", None), ("level", None)]
    players.score(("b", 1))
    assert reader.read(caller, "history=no") == [("put", "b")]


def test_events_that_touch_nothing_are_not_told(players: Players, caller: Caller) -> None:
    reader = Reader()
    reader.read(caller)
    players.tell(Noise("hm"))
    assert reader.read(caller) == []


def test_any_order_of_changes_and_breaks(players: Players, caller: Caller) -> None:
    if type(players.backend).__name__ != "Memory":
        return  # the same flow over each backend: here it is the order that is tried
    for seed in range(40):
        dice = random.Random(seed)  # the same ones each time
        reader = Reader()
        for _ in range(30):
            choice = dice.randrange(10)
            name = dice.choice("abcdef")
            if choice < 4:
                players.score((name, 1))
            elif choice < 5:
                players.tell(Left(name), Scored(dice.choice("abcdef"), 1), Scored(dice.choice("abcdef"), 1))
            elif choice < 6 and dice.random() < 0.2:
                players.app.projector.rebuild(players.players)
            else:
                for message, _ in zip(caller.feed(reader.last), range(dice.randrange(6)), strict=False):
                    reader.take(message)
        reader.read(caller)
        assert reader.documents == players.documents(), seed


# -- Live --


def test_a_reader_is_woken(players: Players, caller: Caller) -> None:
    """With an hour between two looks, what is appended here is told all the same."""
    endpoint = caller.endpoint(interval=3600.0, max_duration=30.0)
    feed = messages(caller.parts(caller.open(once=False, endpoint=endpoint)))
    assert [next(feed).event, next(feed).event] == ["reset", "level"]
    worker = threading.Thread(target=lambda: (players.score(("a", 1)), endpoint.wake()))
    worker.start()
    assert next(feed).data == {"key": "a", "document": vars(Player("a", 1))}
    worker.join()
    closer = threading.Thread(target=endpoint.close)
    closer.start()
    assert list(feed) == []
    closer.join()


def test_a_strong_feed_folds_by_itself(players: Players, caller: Caller) -> None:
    endpoint = caller.endpoint(consistency="strong")
    assert [message.event for message in caller.feed(endpoint=endpoint)] == ["reset", "level"]
    players.score(("a", 1), fold=False)
    assert [message.event for message in caller.feed(endpoint=endpoint)] == ["reset", "put", "level"]


def test_it_ends_after_its_time_and_speaks_meanwhile(
    players: Players, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, slept = [0.0], list[float]()

    async def sleep(seconds: float, wake: object = None, since: int = 0) -> None:
        slept.append(seconds)
        now[0] += seconds

    endpoint = caller.endpoint(interval=4.0, max_duration=60.0)
    monkeypatch.setattr(endpoint.flow.feed, "_clock", lambda: now[0])
    monkeypatch.setattr(endpoint.flow.feed._port, "sleep", sleep)
    parts = list(caller.parts(caller.open(once=False, endpoint=endpoint)))
    assert parts[0] == b"retry: 2000\n\n"
    assert parts.count(b":\n\n") == 3
    assert sum(slept) == pytest.approx(60.0)
    assert max(slept) == 4.0
    assert slept[0] < 0.1 or type(players.backend).__name__ == "UpstashRedis"


def test_the_wire(players: Players, caller: Caller) -> None:
    players.score(("ä\u00a0/1", 1))
    answer = caller.open()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    told = b"".join(caller.parts(answer)).decode()
    assert told.startswith(
        "retry: 2000\n\nid: 1-1-1@\nevent: reset\ndata: {}\n\nid: 1-1-1@w6TCoC8x\nevent: put\ndata: "
    )
    assert told.endswith("id: 1-1-1\nevent: level\ndata: {}\n\n")


@pytest.mark.parametrize(
    "last", ["x", "1-1", "1-1-1-1", "1-1-1@!", "1-1-1@/w", "1-1-1@_w", "1-1-1:x", "9" * 60, "-1-1-1", "1-1-1@AA"]
)
def test_a_place_that_is_none_is_refused(players: Players, caller: Caller, last: str) -> None:
    answer = caller.open(last)
    assert isinstance(answer, Response)
    assert answer.status == 400


def test_a_place_in_another_feed_is_a_reset(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    for last in ("1-1-999", "1-7-1", "3-1-1", "1-1-1:5@YQ", "1-1-999@YQ"):
        events = [message.event for message in caller.feed(last)]
        assert events == ["reset", "put", "level"] or last == "1-1-1:5@YQ", last


def test_a_view_without_a_feed_says_so(players: Players, caller: Caller) -> None:
    answer = caller.open(endpoint=caller.endpoint(projection=players.plain))
    assert (answer.status, answer.headers["content-type"]) == (406, "application/problem+json")
    assert caller.open(query="history=maybe").status == 400


def test_a_new_version_takes_over_with_a_reset(players: Players) -> None:
    """While the new version is built, its readers are told of the one that answers."""
    players.score(("a", 1), ("b", 1))
    newer = Players(players.backend, version=2)
    caller = Caller(newer)
    reader = Reader()
    assert ("put", "b") in reader.read(caller)
    players.score(("b", 4))
    reader.read(caller)
    assert reader.documents["b"]["score"] == 5
    newer.app.projector.catch_up()
    assert ("reset", None) in reader.read(caller)
    newer.score(("c", 1))
    assert reader.read(caller) == [("put", "c")]
    assert reader.documents == newer.documents()
