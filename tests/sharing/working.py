"""A process with a worker: it folds what is its own until its input is closed, hands over, and says how much it folded.

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


def main(servers: str, topic: str, file: str) -> None:
    game = Game(teams=True, index=False)
    backend = Kafka(NativeTopic(servers, topic), views=SQLite(file))
    app = App(backend, game.registry, InProcess())
    wake, stop = Signal(), Signal()

    def until_closed() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_closed, daemon=True).start()
    print("ready", flush=True)  # noqa: T201  what it is asked for
    run(app.projector.flow.run(PORT, wake, stop, 0.02))
    print(game.calls, flush=True)  # noqa: T201  what it is asked for
    app.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
