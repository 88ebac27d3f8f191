"""After a fork, the child uses connections of its own, and does nothing to its parent's."""

from __future__ import annotations

from tests.faults.processes import run

PREPARE = """
import asyncio, os, sys, threading
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash.backends.redis.transport import HttpTransport
from tests.faults.transport.server import TOKEN, Server, answer
from tests.forking import forked, wait_for
"""


def test_parent_and_children_get_their_own_answers() -> None:
    run(
        PREPARE
        + """
with Server() as server:
    transport = HttpTransport(blocking.PORT, server.url, TOKEN)

    def several(name):
        for number in range(20):
            text = f"{name}-{number}"
            assert blocking.run(transport.command("GET", text))[0] == ["GET", text]

    several("before")
    assert server.connections == 1

    def in_the_child():
        several(os.getpid())
        blocking.PORT.close()

    children = [forked(in_the_child) for _ in range(4)]
    several("parent")
    wait_for(*children)
    assert server.connections == 5, server.connections
    several("after")
    assert server.connections == 5, "the parent's connection was closed"
    # Each child on one connection of its own, and nobody on the parent's.
    names = {}
    for each in server.seen:
        names.setdefault(each.number, set()).add(each.command[1].split("-")[0])
    assert sorted(len(each) for each in names.values()) == [1, 1, 1, 1, 3], names
    blocking.PORT.close()
"""
    )


def test_a_child_that_runs_a_loop_of_its_own_leaves_the_parents_loop_alone() -> None:
    run(
        PREPARE
        + """
with Server() as server:
    transport = HttpTransport(event_loop.PORT, server.url, TOKEN)

    async def parent():
        await transport.command("GET", "before")
        children = []

        def in_the_child():
            # As a server does that forks its workers from within a loop: the child begins another one.
            asyncio.events._set_running_loop(None)
            result = asyncio.new_event_loop().run_until_complete(transport.command("GET", "child"))
            assert result[0] == ["GET", "child"]

        children = [forked(in_the_child) for _ in range(2)]
        await transport.command("GET", "after")
        await asyncio.get_running_loop().run_in_executor(None, wait_for, *children)
        await transport.command("GET", "at last")

    asyncio.run(parent(), debug=False)  # which would tell of the time that the first import takes
    numbers = {each.command[1]: each.number for each in server.seen}
    assert numbers["before"] == numbers["after"] == numbers["at last"] != numbers["child"]
    assert server.connections == 3
"""
    )


def test_a_fork_amid_the_work_of_other_threads_does_not_hang() -> None:
    run(
        PREPARE
        + """
with Server() as server:
    transport = HttpTransport(blocking.PORT, server.url, TOKEN)
    blocking.run(transport.command("GET", "before"))  # a fork amid somebody's first import hangs in Python itself
    stop = threading.Event()
    failures = []

    def work():
        number = 0
        while not stop.is_set():
            number += 1
            text = f"{threading.get_ident()}-{number}"
            try:
                assert blocking.run(transport.command("GET", text))[0] == ["GET", text]
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        def in_the_child():
            assert blocking.run(transport.command("GET", "child"))[0] == ["GET", "child"]
        wait_for(forked(in_the_child))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    blocking.PORT.close()
"""
    )


def test_a_fork_while_another_thread_holds_a_lock_does_not_hang() -> None:
    run(
        PREPARE
        + """
from eventsource_upstash._io.pool import POOLS

with Server() as server:
    transport = HttpTransport(blocking.PORT, server.url, TOKEN)
    for lock in (transport._tokens._lock, POOLS._lock):
        held, let_go = threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                let_go.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()

        def in_the_child():
            assert blocking.run(transport.command("GET", "child"))[0] == ["GET", "child"]

        child = forked(in_the_child)
        let_go.set()
        wait_for(child)
        holder.join()
    blocking.PORT.close()
"""
    )
