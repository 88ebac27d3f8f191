"""A large view built anew by hand: read a page, fold it, write documents and index with the checkpoint.

On SQLite with bare `sqlite3`: a table of documents with the score in a column, an index on that column, one transaction
a page. Over REST as in `rest_floor.py`, with the library's own scripts called by hand.

What it leaves out is said at the top of `floors.py` and `rest_floor.py`; and what is new here: the view that serves
meanwhile, the switch to the new one at the head, several workers at once, index values that are no numbers or NaN,
documents that end, a leaf of names that has become too large, and how far it is.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, cast

import msgspec

from benchmarks.measuring import clock, in_another_process, peak_memory
from benchmarks.players import Joined, Player, Scored, events, joined, players_of, scored
from benchmarks.rest_floor import MAX_BYTES, PAGE, Connection, Keys, append_with
from benchmarks.upstash import running
from eventsource_upstash.backends.redis.commits import COMMIT
from eventsource_upstash.backends.redis.log import APPEND
from eventsource_upstash.backends.redis.pulling import PULL
from eventsource_upstash.backends.redis.views import LOAD
from eventsource_upstash.domain.indexes import encode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from benchmarks.players import PlayerEvent

Fold: TypeAlias = "Callable[[Player | None, PlayerEvent], Player | None]"
Decode: TypeAlias = "Callable[[bytes], PlayerEvent]"

encode = msgspec.json.Encoder().encode
decode_player = msgspec.json.Decoder(Player).decode
NAMES: dict[type, str] = {Joined: "player-joined", Scored: "player-scored"}
# A fold takes its own event type only; the table pairs each with the name it is stored under.
FOLDS: dict[str, tuple[Decode, Fold]] = {
    "player-joined": (msgspec.json.Decoder(Joined).decode, cast("Fold", joined)),
    "player-scored": (msgspec.json.Decoder(Scored).decode, cast("Fold", scored)),
}
BATCH = 100


def rebuild_sqlite(size: int, folder: Path) -> dict[str, float]:
    path = str(folder / "floor.db")
    in_another_process(lambda: fill(path, size))
    with peak_memory() as peak:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        cpu = time.process_time()
        with clock() as spent:
            connection.execute("CREATE TABLE players (key TEXT PRIMARY KEY, score, document BLOB) WITHOUT ROWID")
            connection.execute("CREATE INDEX players_by_score ON players (score, key)")
            while fold_a_page(connection):
                pass
        cpu = time.process_time() - cpu
    ((count,),) = connection.execute("SELECT count(*) FROM players")
    assert count == players_of(size)
    used = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    return {"seconds": spent.seconds, "cpu": cpu, "peak": peak.megabytes, "after": used}


def fill(path: str, size: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, type TEXT NOT NULL, payload BLOB NOT NULL)")
    connection.execute("CREATE TABLE checkpoints (name TEXT PRIMARY KEY, position INTEGER)")
    connection.execute("BEGIN")
    rows = ((NAMES[type(event)], encode(event)) for event in events(size))
    connection.executemany("INSERT INTO events (type, payload) VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def fold_a_page(connection: sqlite3.Connection) -> bool:
    """Documents, index and checkpoint change in one transaction; answers whether there was anything."""
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    row = execute("SELECT position FROM checkpoints WHERE name = 'players'").fetchone()
    page = execute(
        "SELECT position, type, payload FROM events WHERE position > ? ORDER BY position LIMIT ?",
        (row[0] if row else 0, PAGE),
    ).fetchall()
    if page:
        planned = [(FOLDS[type_][1], FOLDS[type_][0](payload)) for _, type_, payload in page]
        keys = list({event.id for _, event in planned})
        marks = ",".join("?" * len(keys))
        found = execute(f"SELECT key, document FROM players WHERE key IN ({marks})", keys)
        documents = fold(planned, {key: decode_player(document) for key, document in found})
        connection.executemany(
            "INSERT INTO players VALUES (?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET score = excluded.score, document = excluded.document",
            [(key, player.score, encode(player)) for key, player in documents.items()],
        )
        execute("INSERT OR REPLACE INTO checkpoints VALUES ('players', ?)", (page[-1][0],))
    execute("COMMIT")
    return bool(page)


def fold(planned: Iterable[tuple[Fold, PlayerEvent]], documents: dict[str, Player]) -> dict[str, Player]:
    for handler, event in planned:
        player = handler(documents.get(event.id), event)
        if player is not None:
            documents[event.id] = player
    return documents


def rebuild_upstash(size: int, _: Path) -> dict[str, float]:
    names = Keys("bench", "players")
    with running() as upstash:

        def prepare() -> None:
            connection = Connection(upstash)
            log = list(events(size))
            for start in range(0, size, BATCH):
                rows = [(NAMES[type(event)], encode(event)) for event in log[start : start + BATCH]]
                connection.run(APPEND.sha, *append_with(f"game-{start}", rows, "*", names))

        in_another_process(prepare)
        connection = Connection(upstash)
        before = upstash.spent()
        with peak_memory() as peak:
            cpu = time.process_time()
            with clock() as spent:
                count = catch_up(connection, names)
            cpu = time.process_time() - cpu
        assert count == players_of(size)
        after = upstash.spent()
    return {
        "seconds": spent.seconds,
        "cpu": cpu,
        "peak": peak.megabytes,
        "requests": after[0] - before[0],
        "commands": after[1] - before[1],
    }


def catch_up(connection: Connection, names: Keys) -> int:
    """Page after page until there is none. Answers how many documents there are."""
    want = [str(PAGE), str(MAX_BYTES), "0", "0", "0", "0", ""]
    _, _, _, _, after, entries, _ = connection.run(PULL.sha, [*names.log, names.view], want)
    count = 0
    while entries:
        planned, position = plan(entries)
        wanted = list({event.id: None for _, event in planned})
        found = connection.run(LOAD.sha, [names.document + key for key in wanted], [])[2]
        stored = {
            key: decode_player(text.rpartition("\n")[2])
            for key, text in zip(wanted, found, strict=True)
            if text is not None
        }
        before = {key: score_of(player) for key, player in stored.items()}
        documents = fold(planned, stored)
        scores = {key: score_of(player) for key, player in documents.items()}
        new = [key for key in documents if key not in before]
        come = [f"{score}\t{key}" for key, score in scores.items() if before.get(key) != score]
        gone = [f"{score}\t{key}" for key, score in before.items() if scores[key] != score]
        count += len(new)
        put = [f"\n\nscore {scores[key]}\n\n{encode(player).decode()}" for key, player in documents.items()]
        keys = [*names.log, names.view, names.view, names.directory, *[names.document + key for key in documents]]
        arguments = [*want, "1", "1", "1", after, "0", position, "", "", str(len(put)), "0", str(len(new)), "0"]
        leaves: list[str] = []
        if new:
            keys.append(names.index)
            leaves += [str(len(new)), "0", str(10**9), "0", "1"]
        if come or gone:
            keys.append(f"{names.space}index-score:players@1:1")
            leaves += [str(len(come)), str(len(gone)), str(10**9), "0", "0"]
        arguments += ["0", "score", "0", str(len(leaves) // 5), *leaves, *put, *new, *come, *gone]
        answer = connection.run(COMMIT.sha, keys, arguments)
        if answer[2] != [None] or answer[3]:
            raise RuntimeError("somebody else has folded this page, or the index has to be split")
        after, entries = answer[6], answer[7]
    return count


def score_of(player: Player) -> str:
    return encode_value(player.score, "a player's score")


def plan(entries: Sequence[tuple[str, Sequence[str]]]) -> tuple[list[tuple[Fold, PlayerEvent]], str]:
    planned: list[tuple[Fold, PlayerEvent]] = []
    position = ""
    for id_, fields in entries:
        position = id_.partition("-")[0]
        for index in range(10, len(fields), 2):
            decode, handler = FOLDS[fields[index].partition(":")[2]]
            planned.append((handler, decode(fields[index + 1].encode())))
    return planned, position
