"""Threads end with `close`, and a child process opens its own; both in programs of their own."""

from __future__ import annotations

import pytest

from tests.faults.processes import run
from tests.kafka.broker import Broker

PREPARE = """
import asyncio, gc, os, sys, threading, time, warnings
from eventsource_upstash import NativeTopic
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash.backends.kafka.topic import NewRecord
from tests.forking import forked, wait_for

def tasks():
    return sorted(os.listdir("/proc/self/task"))

def settled(before):
    # A thread that has been joined stands in /proc for a moment longer.
    deadline = time.monotonic() + 10
    while tasks() != before and time.monotonic() < deadline:
        time.sleep(0.001)
    return tasks()

topic = NativeTopic(sys.argv[1], sys.argv[2], options={"batch.num.messages": 1})
client = topic.client(blocking.PORT)

def write(*values):
    return blocking.run(client.produce(0, [NewRecord(b"key", value.encode(), 1) for value in values]))[0]

def read():
    return [record.value.decode() for record in blocking.run(client.fetch({0: 0}, 1000, 10**6)).records]
"""


@pytest.fixture
def arguments(broker: Broker) -> tuple[str, str]:
    return broker.address, broker.topic()


def test_closing_leaves_no_thread(arguments: tuple[str, str]) -> None:
    run(
        PREPARE
        + """
before = tasks()
for _ in range(2):  # it opens again when it is used again
    write("a")
    write("b", "c")
    read()
    assert len(tasks()) > len(before)
    topic.close()
    assert settled(before) == before
assert threading.enumerate() == [threading.main_thread()]

async def work():
    await asyncio.gather(*[
        topic.client(event_loop.PORT).produce(0, [NewRecord(b"key", b"d", 1)]) for _ in range(10)
    ])
asyncio.run(work())
topic.close()
assert settled(before) == before
write("e")
del client, topic, write, read
gc.collect()
assert settled(before) == before, "nobody has it any more"
""",
        *arguments,
    )


def test_the_end_of_a_program_waits_for_nobody(arguments: tuple[str, str]) -> None:
    run(PREPARE + 'write("a"); write("b", "c"); read()', *arguments)


def test_a_child_opens_its_own(arguments: tuple[str, str]) -> None:
    run(
        PREPARE
        + """
write("before")
write("before", "too")
read()

have_read, go_on = os.pipe(), os.pipe()

def in_the_child(name):
    try:
        assert read()[:3] == ["before", "before", "too"]
    finally:
        os.write(have_read[1], b".")
    os.read(go_on[0], 1)
    for number in range(5):
        write(f"{name}-{number}")
    write(f"{name}-5", f"{name}-6")
    topic.close()

children = [forked(lambda name=name: in_the_child(name)) for name in "ab"]
for _ in children:
    os.read(have_read[0], 1)
os.write(go_on[1], b"..")  # nobody reads while somebody writes several at once: see `broker.py`
for number in range(5):
    write(f"parent-{number}")
write("parent-5", "parent-6")
wait_for(*children)
written = read()
for name in ("a", "b", "parent"):
    mine = [value for value in written if value.startswith(f"{name}-")]
    assert mine == [f"{name}-{number}" for number in range(7)], mine
topic.close()
""",
        *arguments,
    )


def test_a_child_that_ends_as_programs_do_waits_for_no_thread_of_its_parent(arguments: tuple[str, str]) -> None:
    run(
        PREPARE
        + """
write("before")
write("a", "b")
read()
child = os.fork()
if not child:
    read()
    write("child")
    sys.exit(0)  # with everything that an interpreter does at its end
wait_for(child)
assert "child" in read()
topic.close()
""",
        *arguments,
    )


def test_a_fork_amid_the_work_of_other_threads(arguments: tuple[str, str]) -> None:
    run(
        PREPARE
        + """
write("thread")  # Python imports what is needed: no child can, amid that
done = False
counts = []

def work():
    count = 0
    while not done:
        write("thread")
        read()
        count += 1
    counts.append(count)

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(5):
    children.append(forked(lambda: (write(f"child"), read(), topic.close())))
wait_for(*children)
done = True
for thread in threads:
    thread.join()
assert read().count("child") == 5
assert read().count("thread") == 1 + sum(counts)
topic.close()
""",
        *arguments,
    )
