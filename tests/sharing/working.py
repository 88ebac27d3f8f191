"""A process with a worker: it folds what is its own until its input is closed, and then hands over.

It says when it is ready, and when it has folded something.

python -m tests.sharing.working SERVERS TOPIC FILE
"""

from __future__ import annotations

import sys
import threading

from eventsource_upstash import App, InProcess, NativeTopic, SQLite
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash._io.port import Signal
from eventsource_upstash.backends.kafka.backend import Kafka
from tests.sharing.support import Game


class Telling(Game):
    """A game that says when something is folded for the first time."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("calls", "team_calls") and value == 1 and self.calls + self.team_calls == 0:
            print("folded", flush=True)  # noqa: T201  what it is asked for
        super().__setattr__(name, value)


def main(servers: str, topic: str, file: str) -> None:
    game = Telling(teams=True, index=False)
    backend = Kafka(NativeTopic(servers, topic), views=SQLite(file))
    app = App(backend, game.registry, InProcess())
    wake, stop = Signal(), Signal()

    def until_closed() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_closed, daemon=True).start()
    print("ready", flush=True)  # noqa: T201  what it is asked for
    run(app.projector.flow.run(PORT, wake, stop, 0.02))
    app.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
