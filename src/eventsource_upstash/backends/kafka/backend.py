"""`Kafka(topic, views=...)`: the log is a topic of Kafka; views and all else are another backend's."""

from __future__ import annotations

from typing import cast

from ..._io.port import Port
from ...domain.positions import Vector, read_position, vector
from ...errors import Misuse
from ...ports import Backend, Capabilities, Limiter, Log, Mailbox, Views
from .log import KafkaLog, Known
from .records import Records, Translate
from .topic import Topic
from .views import open_views


class Kafka:
    """Log in a topic of Kafka, views in another backend: `Kafka(topic, views=SQLite("views.db"))`.

    A plain description, for both colours, threads and event loops: nothing is opened before it is used. Topics are
    never created: how many partitions one has, and that nothing in it is ever deleted, is for its owner to say.

    Args:
        topic: The topic, and how it is reached: `NativeTopic` or `RestTopic`.
        views: The backend that keeps the views, mailbox and counters: `SQLite`, `UpstashRedis`, `Memory`. Its log stays
            empty.
        foreign: What makes an event of a record that is no CloudEvent: `(type, version, payload)`, the payload JSON, or
            `(type, version, payload, stream)` where the stream is not the record's key; or None. Without it, and for
            None, such a record is an event of the type `kafka:foreign`.
        beginning: From where the log counts as whole, where events before that were deleted: places by partition, as in
            "0:1000,1:994". What lies before them is not missed.

    Raises:
        Misuse: An argument cannot be what it is to be.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        views: Backend,
        foreign: Translate | None = None,
        beginning: Vector | str | None = None,
    ) -> None:
        if not (hasattr(topic, "client") and hasattr(topic, "atomic")):
            raise Misuse(
                f"Kafka({type(topic).__name__}): hand it a topic, as in Kafka(NativeTopic('host:9092', 'todo'))"
            )
        if isinstance(cast("object", views), (Kafka, str)) or not hasattr(views, "views"):
            raise Misuse("Kafka(views=...): it is another backend, which keeps views, as in views=SQLite('views.db')")
        if foreign is not None and not callable(cast("object", foreign)):
            raise Misuse("Kafka(foreign=...): it is a function of a record, which answers (type, version, payload)")
        self.topic: Topic = topic
        self.inner: Backend = views
        self.capabilities: Capabilities = Capabilities(
            expected_revisions=False,
            conditions=False,
            streams=False,
            atomic_appends=topic.atomic,
            lasting_keys=False,
            partitions=True,
        )
        self._records = Records(topic.name, foreign)
        self._beginning = vector(read_position(beginning) if isinstance(beginning, str) else beginning or 0)
        self._known = Known()

    def __repr__(self) -> str:
        return f"Kafka({self.topic!r}, views={self.inner!r})"

    @property
    def public(self) -> bool:
        """Whether notifications arrive over the open network: as for the views' backend."""
        return self.inner.public

    def log(self, port: Port) -> Log:
        """Its log."""
        return self._log(port)

    def _log(self, port: Port) -> KafkaLog:
        return KafkaLog(
            self.topic.client(port),
            self.topic.name,
            atomic=self.topic.atomic,
            records=self._records,
            beginning=self._beginning,
            known=self._known,
        )

    def views(self, port: Port, log: Log) -> Views:
        """The views of the other backend, folded from that log; how far they are is a vector."""
        return open_views(self.inner, port, log)

    def mailbox(self, port: Port) -> Mailbox | None:
        """The other backend's."""
        return self.inner.mailbox(port)

    def limiter(self, port: Port) -> Limiter:
        """The other backend's."""
        return self.inner.limiter(port)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`: the other backend; and that the topic is there, can be read, and has lost nothing."""
        doubts = await self.inner.check(port)
        bounds, _ = await self._log(port).bounds()
        trimmed = [(partition, low) for partition, (low, _) in bounds.items() if low > self._beginning.at(partition)]
        return doubts + tuple([self._doubt(partition, low) for partition, low in trimmed])

    def _doubt(self, partition: int, low: int) -> str:
        return (
            f"topic {self.topic.name!r}, partition {partition}: the events before offset {low} are deleted, so no "
            "projection can be built from its beginning. Keep them for ever (retention.ms=-1, retention.bytes=-1), or "
            f"declare beginning='{partition}:{low}'"
        )

    def close(self) -> None:
        """Release what topic and views hold open. They open again when they are used again."""
        self.topic.close()
        self.inner.close()
