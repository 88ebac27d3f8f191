"""A process that is killed before any statement or commit, again and again, leaves tables that are exact in the end."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from eventsource_upstash import connect
from tests.faults.processes import run
from tests.sql.accounts import accounts, rows_of, users_table
from tests.sql.servers import Database

PROGRAM = """
import itertools, json, os, random, signal, sys
import sqlalchemy as sa
from eventsource_upstash import connect
from eventsource_upstash.sql import SqlFollower, Sync
from tests.sql.accounts import Left, Registered, Used, accounts, sql_users, users_table

log, url, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
draw = random.Random(7)


def work(kill_at):
    engine = sa.create_engine(url, connect_args=options)
    statements = itertools.count(1)

    def count(*_):
        if next(statements) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", count)
    known = accounts()
    app = connect(f"sqlite:{log}", known.registry)
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, users_table("followed")), page_size=4))
    app.projector.catch_up()
    Sync(engine, app.projection_store.view(known.users), users_table("copied"), page_size=4).run(full=kill_at % 9 == 0)
    app.close()
    engine.dispose()


def append(number):
    known = accounts()
    with connect(f"sqlite:{log}", known.registry) as app:
        user = f"u{draw.randrange(8)}"
        kinds = [Registered(user, 10), Used(user, number + 100), Used(f"u{draw.randrange(8)}", 1), Left(user)]
        app.event_store.append(user, *draw.choices(kinds, weights=[3, 3, 3, 1], k=5))


killed = 0
for kill_at in [*range(1, 60, int(sys.argv[4])), 10**9]:
    append(kill_at)
    child = os.fork()
    if not child:
        work(kill_at)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    killed += os.WIFSIGNALED(status)
print(killed)
"""


def test_tables_are_exact_however_often_a_process_is_killed(empty: Database, tmp_path: Path) -> None:
    engine = sa.create_engine(empty.url, connect_args=empty.options)
    followed, copied = users_table("followed"), users_table("copied")
    for table in (followed, copied):
        table.create(engine)
    log = str(tmp_path / "log.db")
    url = empty.url.render_as_string(hide_password=False)
    every = 2 if engine.dialect.name == "sqlite" else 5
    killed = int(run(PROGRAM, log, url, json.dumps(empty.options), str(every)))
    assert killed > 20 // every
    known = accounts()
    with connect(f"sqlite:{log}", known.registry) as app:
        folded: dict[str, tuple[int, int]] = {}
        for recorded in app.event_store.read():
            name, event = recorded.type, recorded.event
            user: str = event.user  # type: ignore[attr-defined]
            if name == "registered":
                folded[user] = (event.quota, 0)  # type: ignore[attr-defined]
            elif name == "left":
                folded.pop(user, None)
            elif user in folded:
                folded[user] = (folded[user][0], folded[user][1] + event.amount)  # type: ignore[attr-defined]
        assert rows_of(engine, followed) == folded
        assert rows_of(engine, copied) == folded
    engine.dispose()
