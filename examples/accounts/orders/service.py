"""The order service: takes orders, and messages of how accounts stand.

| request | answers |
| --- | --- |
| `POST /orders` | `{"account", "item", "quantity"}`: 201 for an order that is accepted, 409 for one that is refused |
| `GET /orders` | the orders, the latest first; `account`, `limit`, `after` |
| `GET /standings`, `GET /standings/ID` | what is known here of the accounts, and how their orders went |
| `POST /jobs/standings` | the job that the accounts' reactor sends to; signed where it comes over the open network |
| `POST /projections` | the notification of this service's own log |

As ASGI: `uvicorn --factory examples.accounts.orders.service:create_app`; on AWS Lambda:
`examples.accounts.orders.service.handler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from eventsource_upstash import Executed, Job, NotRetryable, ProjectionStatus, Recorded, connect, connect_async, web
from eventsource_upstash.web import Response

from .. import settings
from ..hosting import Handler, lambda_handler, starlette
from ..plain import (
    PATIENCE,
    Request,
    allow,
    answer,
    body,
    failure,
    idempotency_key,
    nothing_here,
    problem,
    reused,
)
from .domain import (
    InvalidOrder,
    LearnStanding,
    Ledger,
    Order,
    OrderAccepted,
    OrderRefused,
    PlaceOrder,
    Standing,
    UnknownAccount,
    ledger,
    new_id,
    orders,
    registry,
    standings,
    stream_of,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette

RETRIES = 50
"""So often an order is decided again, because something else happened to its account: its orders are one stream."""

STANDINGS = "/jobs/standings"

POLL = 0.25
"""Seconds between two looks at a log in a file."""


# -- Read --


class NewOrder(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    item: str
    quantity: int = 1


@dataclass(frozen=True)
class Look:
    """A request for a view, and the document that it is for, "" for all."""

    view: Literal["orders", "standings"]
    request: web.Request
    key: str = ""


Endpoint = Literal["job", "notification", "status"]


def read(request: Request) -> PlaceOrder | Look | Endpoint:
    """What a request asks for. Raises `Answer` when there is nothing to do for it."""
    match request.parts:
        case ["orders"] if request.method == "POST":
            key, wanted = idempotency_key(request), body(request, NewOrder)
            return PlaceOrder(new_id(key), wanted.account, wanted.item, wanted.quantity)
        case ["orders"]:
            allow(request, "GET", "POST")
            return Look("orders", latest(request))
        case ["standings", *rest] if len(rest) < 2:
            allow(request, "GET")
            return Look("standings", latest(request), *rest)
        case ["jobs", *_]:
            return "job"
        case ["projections"]:
            return "notification"
        case ["status"]:
            allow(request, "GET")
            return "status"
        case _:
            raise nothing_here()


def latest(request: Request) -> web.Request:
    """Everything is read by its time, the orders of an account by the account."""
    plain, url = request.for_library(), urlsplit(request.url)
    asked = dict(parse_qsl(url.query, keep_blank_values=True))
    account = asked.pop("account", None)
    # In quotes, since an account's id may read as a number.
    part = {"index": "at"} if account is None else {"index": "account", "equal": msgspec.json.encode(account).decode()}
    query = urlencode({**asked, **part, "reverse": "yes"})
    return plain._replace(url=url._replace(query=query).geturl())


# --8<-- [start:standing]
def standing_in(job: Job) -> LearnStanding:
    """What a message tells. One that no retry can mend goes to the dead letters at once."""
    told = job.json(LearnStanding)
    try:
        stream_of(told.account)
    except UnknownAccount:
        raise NotRetryable("that can be no account") from None
    return told


# --8<-- [end:standing]


# -- Do --


# --8<-- [start:service]
class Orders:
    """For callers that block: AWS Lambda."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect(backend or settings.orders_backend(), registry)
        self.app.job(STANDINGS)(self.learn)
        self._jobs = web.JobEndpoint(self.app)
        self._notified = web.Endpoint(self.app)
        self._views: dict[str, web.ViewEndpoint[Order] | web.ViewEndpoint[Standing]] = {
            "orders": web.ViewEndpoint(self.app, orders, timeout=PATIENCE),
            "standings": web.ViewEndpoint(self.app, standings, timeout=PATIENCE),
        }

    def learn(self, job: Job) -> None:
        """A message of how an account stands: recorded once, however often it is delivered."""
        told = standing_in(job)
        self.app.event_store.execute(ledger, stream_of(told.account), told, idempotency_key=job.id, retries=RETRIES)

    def place(self, order: PlaceOrder) -> Response:
        """Accept or refuse an order, once."""
        executed = self.app.event_store.execute(
            ledger, stream_of(order.account), order, idempotency_key=order.id, retries=RETRIES
        )
        if not executed.repeated:
            return write_decision(order, executed.events[0], position_of(executed))
        # Decided before, under the same key: what was decided then stands in the log, at that position.
        position = position_of(executed)
        (recorded,) = self.app.event_store.read(after=position - 1, limit=1)
        return write_decision(order, recorded.event, position)

    # --8<-- [end:service]

    def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            match work:
                case PlaceOrder():
                    return self.place(work)
                case Look():
                    return self._views[work.view].handle(work.request, work.key)
                case "job":
                    return self._jobs.handle(request.for_library())
                case "notification":
                    return self._notified.handle(request.for_library())
                case "status":
                    return write_status(self.app.projection_store.status())
        except Exception as error:
            return failure(error, told)

    def close(self) -> None:
        self.app.close()


class AsyncOrders:
    """The same on an event loop."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect_async(backend or settings.orders_backend(), registry)
        self.app.job(STANDINGS)(self.learn)
        self._jobs = web.AsyncJobEndpoint(self.app)
        self._notified = web.AsyncEndpoint(self.app)
        self._views: dict[str, web.AsyncViewEndpoint[Order] | web.AsyncViewEndpoint[Standing]] = {
            "orders": web.AsyncViewEndpoint(self.app, orders, timeout=PATIENCE),
            "standings": web.AsyncViewEndpoint(self.app, standings, timeout=PATIENCE),
        }
        self._worker = self.app.worker(poll_interval=POLL)

    async def start(self) -> None:
        if not self.app.backend.public:  # else QStash says when to fold
            await self._worker.start()

    async def learn(self, job: Job) -> None:
        told = standing_in(job)
        await self.app.event_store.execute(
            ledger, stream_of(told.account), told, idempotency_key=job.id, retries=RETRIES
        )

    async def place(self, order: PlaceOrder) -> Response:
        executed = await self.app.event_store.execute(
            ledger, stream_of(order.account), order, idempotency_key=order.id, retries=RETRIES
        )
        position = position_of(executed)
        if not executed.repeated:
            return write_decision(order, executed.events[0], position)
        found: list[Recorded[object]] = [
            recorded async for recorded in self.app.event_store.read(after=position - 1, limit=1)
        ]
        return write_decision(order, found[0].event, position)

    async def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            match work:
                case PlaceOrder():
                    return await self.place(work)
                case Look():
                    return await self._views[work.view].handle(work.request, work.key)
                case "job":
                    return await self._jobs.handle(request.for_library())
                case "notification":
                    return await self._notified.handle(request.for_library())
                case "status":
                    return write_status(await self.app.projection_store.status())
        except Exception as error:
            return failure(error, told)

    async def close(self) -> None:
        await self._worker.stop()
        await self.app.close()


def position_of(executed: Executed[Ledger]) -> int:
    assert executed.position is not None  # an order is always decided on
    return executed.position


# -- Write --


# --8<-- [start:decision]
def write_decision(order: PlaceOrder, decided: object, position: int) -> Response:
    """What was decided on an order. A refusal is a decision too: it stands in the log, and is not made again."""
    if not isinstance(decided, (OrderAccepted, OrderRefused)) or wish(decided) != wish(order):
        return reused()  # the key stands for another order
    headers = {"Event-Position": str(position)}
    if isinstance(decided, OrderAccepted):
        return answer(201, {"id": decided.id, "decision": "accepted", "position": position}, headers)
    detail = f"The order is refused: the account is {decided.standing}."
    return problem(
        409, detail, headers, id=decided.id, decision="refused", standing=decided.standing, position=position
    )


# --8<-- [end:decision]


def wish(order: PlaceOrder | OrderAccepted | OrderRefused) -> tuple[str, str, int]:
    return order.account, order.item, order.quantity


def write_status(statuses: Sequence[ProjectionStatus]) -> Response:
    behind = max(statuses, key=lambda status: status.lag)
    return answer(
        200,
        {
            "function": "orders",
            "head": behind.head,
            "checkpoint": behind.checkpoint,
            "lag": behind.lag,
            "state": behind.state,
        },
    )


def told(error: Exception) -> Response | None:
    match error:
        case UnknownAccount():
            return problem(404, str(error))
        case InvalidOrder():
            return problem(422, str(error))
        case _:
            return None


# -- To be deployed --


def create_app() -> Starlette:
    return starlette(AsyncOrders())


def create_handler() -> Handler:
    return lambda_handler(Orders())


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
