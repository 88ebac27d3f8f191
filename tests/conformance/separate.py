"""Views that are not where the log is."""

from __future__ import annotations

from eventsource_upstash._io.port import Port
from eventsource_upstash.ports import Backend, Log, Views
from eventsource_upstash.testing import BackendWrapper


class SeparateViews(BackendWrapper):
    """A backend whose views are another backend's.

    Attributes:
        beside: The other one.
    """

    def __init__(self, inner: Backend, beside: Backend) -> None:
        super().__init__(inner)
        self.beside = beside

    def views(self, port: Port, log: Log) -> Views:
        return self.beside.views(port, log)

    def close(self) -> None:
        super().close()
        self.beside.close()
