"""A worker: a process that does nothing but fold. Run as a program by the tests."""

# --8<-- [start:imports]
import logging
import signal
import sys

from eventsource_upstash import Signal, connect

# --8<-- [end:imports]
from docs.snippets.todo import registry  # isort: skip

if __name__ == "__main__":
    # --8<-- [start:program]
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s: %(message)s")

    stop = Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())

    with connect("sqlite:todo.db", registry) as app:
        app.projector.run(poll_interval=0.5, stop=stop)
    # --8<-- [end:program]
