"""Personal data is encrypted in the log, read in clear while its key is there, and gone with it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, cast
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import (
    App,
    AsyncApp,
    ConcurrencyError,
    EventStore,
    IdempotencyKeyReused,
    InvalidEvent,
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    Projection,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Receipt,
    RegistrationError,
    Registry,
    SealedEvent,
    SQLite,
    SQLiteKeys,
    SubjectForgotten,
    UndecodableEvent,
    connect,
)
from eventsource_upstash._flow import cipher
from eventsource_upstash.ports import Backend, Keys, KeyStore, Port, SubjectKey
from tests.canary import secret
from tests.faults.driving import COLOURS, Colour, Driver

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    street: str
    city: str


@dataclass(frozen=True)
class Moved:
    customer: str
    address: Personal[Address]
    rooms: int = 0
    phones: Personal[tuple[str, ...]] = None


class MovedStruct(msgspec.Struct, frozen=True, rename="camel"):
    customer: str
    address: Personal[Address]
    rooms: int = 0
    phones: Personal[tuple[str, ...]] = None


@attrs.frozen
class MovedAttrs:
    customer: str
    address: Personal[Address]
    rooms: int = 0
    phones: Personal[tuple[str, ...]] = None


class MovedModel(pydantic.BaseModel):
    customer: str
    address: Personal[Address]
    rooms: int = 0
    phones: Personal[tuple[str, ...]] = None


@dataclass(frozen=True)
class Ordered:
    customer: str
    goods: str


@dataclass(frozen=True)
class Customer:
    city: str | None = None
    rooms: int = 0


BAKER = Address(secret("221B Baker Street"), "London")
RIVOLI = Address("1 Rue de Rivoli", "Paris")


def customers(version: int = 1, cls: Any = Moved) -> tuple[Registry, Projection[Customer]]:
    registry = Registry()
    registry.event("moved", subject="customer")(cls)
    registry.event("ordered")(Ordered)
    projection = registry.projection("customers", Customer, version=version)

    @projection.on(cls, key="customer")
    def moved(customer: Customer | None, event: Any) -> Customer:
        return Customer(event.address and event.address.city, event.rooms)

    return registry, projection


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    return cast("Colour", request.param)


@pytest.fixture(params=["memory", "sqlite"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Backend, KeyStore]:
    if request.param == "memory":
        return Memory(), MemoryKeys()
    return SQLite(tmp_path / "events.db"), SQLiteKeys(tmp_path / "keys.db")


class Keyed(Driver):
    """An app of either colour with a key store."""

    def __init__(self, backend: Backend, registry: Registry, colour: Colour, keys: KeyStore | None) -> None:
        super().__init__(backend, Registry(), colour)
        self.app = (App if colour == "blocking" else AsyncApp)(backend, registry, None, keys=keys)

    def forget(self, subject: Any) -> Receipt:
        return settled(self.app.event_store.forget(subject))

    def readmit(self, subject: Any) -> Receipt:
        return settled(self.app.event_store.readmit(subject))


def settled(answer: Any) -> Any:
    import asyncio

    async def awaited() -> Any:
        return await answer

    return asyncio.run(awaited()) if hasattr(answer, "__await__") else answer


def raw(backend: Backend) -> list[tuple[Any, ...]]:
    """The rows of a log as they are stored."""
    from eventsource_upstash._io.blocking import PORT, run

    return cast("list[tuple[Any, ...]]", run(backend.log(PORT).read(0, 1000, 1 << 20)).events)


def tampered(backend: Memory, index: int, change: Callable[[dict[str, Any]], object]) -> None:
    rows = backend._state.rows
    *envelope, payload = rows[index]
    data = msgspec.json.decode(payload)
    change(data)
    rows[index] = cast("Any", (*envelope, msgspec.json.encode(data)))


# --- sealed in the log, in clear everywhere else, gone when forgotten


@pytest.mark.parametrize("cls", [Moved, MovedStruct, MovedAttrs, MovedModel])
def test_it_is_encrypted_in_the_log_and_read_in_clear(
    cls: Any, parts: tuple[Backend, KeyStore], colour: Colour
) -> None:
    backend, keys = parts
    registry, projection = customers(cls=cls)
    app = Keyed(backend, registry, colour, keys)
    event = cls(customer="ada", address=BAKER, rooms=3, phones=("0207 1",))
    app.append("customer-ada", event, Ordered("ada", "tea"))
    ((*_, sealed), (*_, plain)) = raw(backend)
    assert all(text not in sealed for text in (b"Baker", b"London", b"0207"))
    data = msgspec.json.decode(sealed)
    assert (data["customer"], data["rooms"]) == ("ada", 3)
    assert data["$sealed"]["subject"] == "ada"
    assert plain == b'{"customer":"ada","goods":"tea"}'
    assert [each.event for each in app.read()] == [event, Ordered("ada", "tea")]
    assert [each.event for each in app.read_stream("customer-ada")] == [event, Ordered("ada", "tea")]
    app.catch_up()
    assert app.get(projection, "ada") == Customer("London", 3)


def test_what_is_forgotten_is_none_and_everything_else_stays(parts: tuple[Backend, KeyStore], colour: Colour) -> None:
    backend, keys = parts
    registry, projection = customers()
    app = Keyed(backend, registry, colour, keys)
    app.append("customer-ada", Moved("ada", BAKER, 3, ("1",)))
    app.append("customer-bob", Moved("bob", RIVOLI, 2))
    app.catch_up()
    app.forget("ada")
    assert [each.event for each in app.read()] == [Moved("ada", None, 3, None), Moved("bob", RIVOLI, 2)]
    assert [each.event for each in app.read_stream("customer-ada")] == [Moved("ada", None, 3)]
    assert app.get(projection, "ada") == Customer("London", 3), "a view holds what it holds until it is built anew"
    registry, projection = customers(version=2)
    anew = Keyed(backend, registry, colour, keys)
    anew.catch_up()
    assert anew.get(projection, "ada") == Customer(None, 3)
    assert anew.get(projection, "bob") == Customer("Paris", 2)


def test_a_log_in_which_somebody_was_forgotten_holds_no_trace(tmp_path: Path) -> None:
    backend, keys = SQLite(tmp_path / "events.db"), SQLiteKeys(tmp_path / "keys.db")
    with App(backend, customers()[0], None, keys=keys) as app:
        app.event_store.append("customer-ada", Moved("ada", BAKER), idempotency_key="k")
        assert not any(b"Baker" in path.read_bytes() for path in tmp_path.iterdir())


def test_an_aggregate_and_a_conflict_are_given_it_in_clear(parts: tuple[Backend, KeyStore], colour: Colour) -> None:
    backend, keys = parts
    registry, _ = customers()
    customer = registry.aggregate("customer", Customer)

    @customer.on(Moved)
    def moved(state: Customer | None, event: Moved) -> Customer:
        return Customer(event.address and event.address.city, event.rooms)

    @customer.decide(Address)
    def move(state: Customer | None, command: Address) -> Moved:
        return Moved("ada", command, (state or Customer()).rooms + 1)

    app = Keyed(backend, registry, colour, keys)
    assert app.execute(customer, "customer-ada", BAKER).state == Customer("London", 1)
    assert app.execute(customer, "customer-ada", RIVOLI).state == Customer("Paris", 2)
    with pytest.raises(ConcurrencyError) as caught:
        app.append("customer-ada", Moved("ada", BAKER), expected_revision=1)
    assert [each.event for each in caught.value.events] == [Moved("ada", RIVOLI, 2)]
    app.forget("ada")
    assert app.load(customer, "customer-ada").state == Customer(None, 2)
    with pytest.raises(ConcurrencyError) as caught:
        app.append("customer-ada", Ordered("ada", "tea"), expected_revision=1)
    assert [each.event for each in caught.value.events] == [Moved("ada", None, 2)]


def test_nothing_can_be_appended_for_who_was_forgotten(parts: tuple[Backend, KeyStore], colour: Colour) -> None:
    backend, keys = parts
    app = Keyed(backend, customers()[0], colour, keys)
    app.append("customer-ada", Moved("ada", BAKER))
    app.forget("ada")
    app.forget("ada")
    with pytest.raises(SubjectForgotten, match=r"to stream 'customer-1': .* nothing was written.*readmit") as caught:
        app.append("customer-1", Ordered("ada", "tea"), Moved("ada", BAKER))
    assert caught.value.subject == "ada"
    assert "ada" not in str(caught.value)
    assert app.head() == 1
    app.append("customer-ada", Moved("ada", None, 5), Ordered("ada", "tea"))  # nothing personal in them
    app.readmit("ada")
    app.append("customer-ada", Moved("ada", RIVOLI))
    moved = [each.event for each in app.read() if isinstance(each.event, Moved)]
    assert [each.address for each in moved] == [None, None, RIVOLI], "what was forgotten stays so"


@pytest.mark.parametrize("subject", ["ada", 7, UUID(int=7)])
def test_a_subject_may_be_told_by_a_function(subject: Any) -> None:
    registry = Registry()
    registry.event("moved", subject=lambda event: subject)(Moved)
    with connect("memory:", registry, keys=MemoryKeys()) as app:
        app.event_store.append("a", Moved("1", BAKER))
        assert msgspec.json.decode(raw(app.backend)[0][9])["$sealed"]["subject"] == str(subject)
        app.event_store.forget(subject)
        assert next(app.event_store.read()).event == Moved("1", None)


def test_an_upcaster_is_given_what_is_in_clear_or_none() -> None:
    backend, keys = Memory(), MemoryKeys()
    with App(backend, customers()[0], None, keys=keys) as app:
        app.event_store.append("a", Moved("ada", BAKER))
        app.event_store.append("b", Moved("bob", RIVOLI))
        app.event_store.forget("bob")

    @dataclass(frozen=True)
    class MovedToday:
        who: str
        city: Personal[str]

    later = Registry()

    @later.upcast("relocated", from_version=1)
    def flat(data: dict[str, object]) -> dict[str, object]:
        address = cast("dict[str, object] | None", data["address"])
        return {"who": data["customer"], "city": address and address["city"]}

    later.event("relocated", version=2, formerly=("moved",), subject="who")(MovedToday)
    read = App(backend, later, None, keys=keys).event_store.read()
    assert [each.event for each in read] == [MovedToday("ada", "London"), MovedToday("bob", None)]


# --- repeats


def test_a_repeat_is_known_although_the_ciphertext_differs(parts: tuple[Backend, KeyStore], colour: Colour) -> None:
    backend, keys = parts
    app = Keyed(backend, customers()[0], colour, keys)
    first = app.append("a", Moved("ada", BAKER), idempotency_key="k")
    again = app.append("a", Moved("ada", BAKER), idempotency_key="k")
    assert (again.position, again.repeated) == (first.position, True)
    with pytest.raises(IdempotencyKeyReused):
        app.append("a", Moved("ada", RIVOLI), idempotency_key="k")
    assert app.head() == 1


def test_the_record_of_a_key_does_not_tell_the_data() -> None:
    """A digest that anybody can compute would let values be tried, long after the person was forgotten."""
    digests = []
    for _ in range(2):
        backend = Memory()
        App(backend, customers()[0], None, keys=MemoryKeys()).event_store.append(
            "a", Moved("ada", BAKER), idempotency_key="k"
        )
        digests.append(backend._state.keys["k"][0])
    assert digests[0] != digests[1]


# --- what does not fit


def stops(backend: Memory, keys: KeyStore, text: str, error: type[UndecodableEvent] = UndecodableEvent) -> None:
    """Reads hand out what comes before, and the projection stops there; another one is not held up."""
    registry, _ = customers()
    other = registry.projection("orders", Customer)
    other.on(Ordered)(lambda document, event: Customer(event.goods))
    app = App(backend, registry, None, keys=keys)
    reading = app.event_store.read()
    assert next(reading).event == Ordered("ada", "tea")
    with pytest.raises(error, match=re.escape(text)) as caught:
        next(reading)
    assert (caught.value.position, caught.value.stream) == (2, "customer-ada")
    with pytest.raises(ProjectionStopped, match=re.escape(text)) as stopped:
        app.projector.catch_up()
    assert stopped.value.others == ()
    assert {each.name: each.checkpoint for each in app.projection_store.status()} == {"customers": 1, "orders": 3}


def with_three() -> tuple[Memory, MemoryKeys]:
    backend, keys = Memory(), MemoryKeys()
    app = App(backend, customers()[0], None, keys=keys)
    app.event_store.append("customer-ada", Ordered("ada", "tea"), Moved("ada", BAKER, 1, ("1",)))
    app.event_store.append("customer-bob", Moved("bob", RIVOLI, 1, ("2",)))
    return backend, keys


def swap_fields(data: dict[str, Any]) -> None:
    data["address"], data["phones"] = data["phones"], data["address"]


def other_subject(data: dict[str, Any]) -> None:
    data["$sealed"]["subject"] = "bob"


def flip_a_bit(data: dict[str, Any]) -> None:
    data["address"]["$personal"] = "A" + data["address"]["$personal"][1:-4] + "AAAA"


def cut_short(data: dict[str, Any]) -> None:
    data["address"]["$personal"] = "AAAA"


def put_in_clear(data: dict[str, Any]) -> None:
    data["address"] = {"street": "x", "city": "y"}


def take_out(data: dict[str, Any]) -> None:
    del data["address"]


def break_the_header(data: dict[str, Any]) -> None:
    data["$sealed"] = 5


@pytest.mark.parametrize("change", [swap_fields, flip_a_bit, cut_short, put_in_clear, take_out])
def test_a_ciphertext_that_was_changed_or_moved_is_not_taken(change: Callable[[dict[str, Any]], object]) -> None:
    backend, keys = with_three()
    tampered(backend, 1, change)
    stops(backend, keys, "its personal data cannot be opened: its ciphertext was changed, or is not of this place")


def test_another_subjects_name_hides_nothing_in_the_event() -> None:
    backend, keys = with_three()
    tampered(backend, 1, other_subject)
    # The key of that subject has another id: whatever this was, it is not read with it.
    registry, _ = customers()
    events = [each.event for each in App(backend, registry, None, keys=keys).event_store.read()]
    assert events[1] == Moved("ada", None, 1, None)


def test_a_payload_moved_to_another_stream_is_not_taken() -> None:
    backend, keys = with_three()
    rows = backend._state.rows
    rows[1] = (*rows[1][:5], rows[2][5])
    stops(backend, keys, "its ciphertext was changed, or is not of this place")


def test_a_header_that_is_none() -> None:
    backend, keys = with_three()
    tampered(backend, 1, break_the_header)
    stops(backend, keys, "its personal data cannot be opened: its header is none")


def test_another_key_store_forgets_nobody_in_silence() -> None:
    backend, _ = with_three()
    stops(backend, MemoryKeys(), "the key store has never known its subject; is it the one that it was written with?")


def test_without_a_key_store_it_is_told_what_is_missing() -> None:
    backend, _ = with_three()

    @dataclass(frozen=True)
    class Unmarked:
        customer: str
        address: Address

    registry = Registry()
    registry.event("moved")(Unmarked)
    registry.ignore("ordered")
    with pytest.raises(
        SealedEvent, match=r"'moved' at position 2 .*encrypted, and there is no key store here.*keys="
    ) as told:
        list(EventStore(backend, registry).read())
    assert (told.value.type, told.value.stream, told.value.position) == ("moved", "customer-ada", 2)


# --- wiring


def test_personal_data_needs_a_key_store() -> None:
    registry, _ = customers()
    text = r"event type 'moved' \(Moved\) holds personal data, and there is no key store .*keys=SQLiteKeys"
    for make in (lambda: EventStore(Memory(), registry), lambda: ProjectionStore(Memory(), registry)):
        with pytest.raises(Misuse, match=text):
            make()
    with pytest.raises(Misuse, match=text):
        connect("memory:", registry)
    with pytest.raises(Misuse, match=r"keys='keys.db' is no key store; hand over MemoryKeys\(\)"):
        connect("memory:", registry, keys=cast("KeyStore", "keys.db"))


def test_a_type_that_comes_late_is_not_stored_in_clear() -> None:
    registry = Registry()
    app = connect("memory:", registry)
    with pytest.raises(
        RegistrationError, match="an event store that has no key store was made of this registry before"
    ):
        registry.event("moved", subject="customer")(Moved)
    with pytest.raises(Misuse, match="Moved is not registered"):
        app.event_store.append("a", Moved("ada", BAKER))


def test_both_stores_have_the_same_keys() -> None:
    registry, _ = customers()
    backend = Memory()
    event_store = EventStore(backend, registry, keys=MemoryKeys())
    projection_store = ProjectionStore(backend, registry, keys=MemoryKeys())
    with pytest.raises(Misuse, match="different key stores"):
        Projector(event_store, projection_store)


def test_only_who_has_a_key_store_can_forget(colour: Colour) -> None:
    app = Keyed(Memory(), Registry(), colour, None)
    for forget in (app.forget, app.readmit):
        with pytest.raises(Misuse, match="there is no key store here"):
            forget("ada")


@pytest.mark.parametrize("subject", ["", "a\n", None, 1.5, True, b"ada", "x" * 256, ["ada"]])
def test_what_cannot_be_a_subject(subject: Any) -> None:
    registry = Registry()
    registry.event("moved", subject=lambda event: subject)(Moved)
    app = connect("memory:", registry, keys=MemoryKeys())
    told = rf"event type 'moved': its subject is a {type(subject).__name__} that cannot be one"
    with pytest.raises(InvalidEvent, match=told):
        app.event_store.append("a", Moved("ada", BAKER))
    for forget in (app.event_store.forget, app.event_store.readmit):
        with pytest.raises(Misuse, match="a subject is a printable text"):
            forget(subject)
    assert app.event_store.head() == 0


def test_a_function_that_cannot_tell_the_subject() -> None:
    registry = Registry()
    registry.event("moved", subject=lambda event: event.nobody)(Moved)
    app = connect("memory:", registry, keys=MemoryKeys())
    with pytest.raises(InvalidEvent, match="event type 'moved': its subject cannot be told: AttributeError"):
        app.event_store.append("a", Moved("ada", BAKER))


def test_a_new_key_is_nobodys() -> None:
    keys = [cipher.new_key() for _ in range(20)]
    assert all(re.fullmatch("[0-9a-f]{24}", key.id) and len(key.secret) == 32 for key in keys)
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 20


def test_the_package_that_encrypts_is_asked_for_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher, "find_spec", lambda name: None)
    with pytest.raises(Misuse, match=r"pip install 'eventsource-upstash\[personal\]'"):
        connect("memory:", customers()[0], keys=MemoryKeys())


def test_nothing_of_it_is_imported_otherwise() -> None:
    code = (
        "import sys; from eventsource_upstash import *; from dataclasses import make_dataclass; r = Registry();"
        "e = r.event('e')(make_dataclass('E', [('x', int)])); a = connect('memory:', r);"
        "a.event_store.append('s', e(1));"
        "assert list(a.event_store.read()); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- registration


def refused(text: str, cls: Any, subject: Any = "customer") -> None:
    with pytest.raises(RegistrationError, match=re.escape(text)):
        Registry().event("moved", subject=subject)(cls)


@dataclass(frozen=True)
class Inner:
    name: Personal[str]


@dataclass(frozen=True)
class Deep:
    customer: str
    inner: Inner


@dataclass(frozen=True)
class InList:
    customer: str
    names: list[Personal[str]]


@dataclass(frozen=True)
class Twice:
    customer: str
    names: Personal[list[Personal[str]]]


class Box(msgspec.Struct, Generic[T]):
    name: Personal[str]
    held: T


@dataclass(frozen=True)
class Boxed:
    customer: str
    box: Box[int]


@dataclass(frozen=True)
class Whose:
    customer: Personal[str]


class Array(msgspec.Struct, array_like=True):
    customer: str
    name: Personal[str]


class Sealed(msgspec.Struct):
    customer: str = msgspec.field(name="$sealed")
    name: Personal[str] = None


def test_what_cannot_be_personal() -> None:
    refused("event type 'moved': a Personal[...] stands within the type of field Deep.inner.name", Deep)
    refused("event type 'moved': a Personal[...] stands within the type of field InList.names", InList)
    refused("event type 'moved': a Personal[...] stands within the type of field Twice.names", Twice)
    refused("event type 'moved': a Personal[...] stands within the type of field Boxed.box.name", Boxed)
    refused("Array is stored as an array (array_like=True)", Array)
    refused("a field of Sealed is stored as '$sealed', which is the library's", Sealed)


def test_whose_it_is_has_to_be_said() -> None:
    refused("Moved.address, Moved.phones is personal, and it is not said whose", Moved, None)
    refused("subject='owner' is not a field of Moved; it has address, customer, phones, rooms", Moved, "owner")
    refused("subject='customer' is personal itself", Whose)
    refused("subject= is the name of a field or a function of the event, not 5", Moved, 5)
    refused("event type 'moved', subject: <lambda>() cannot be called as <lambda>(event)", Moved, lambda: "ada")
    refused("subject='customer', but no field of Ordered is Personal[...]", Ordered)


def test_states_with_personal_data_are_kept_nowhere() -> None:
    registry, _ = customers()
    kept = registry.aggregate("kept", Customer, snapshot_every=10)
    kept.on(Ordered)(lambda state, event: state)
    with pytest.raises(RegistrationError, match=r"aggregate 'kept': event type 'moved' holds personal data.*snapshot"):
        kept.on(Moved)(lambda state, event: state)
    cached = registry.aggregate("cached", Customer)
    cached.on(Moved)(lambda state, event: Customer(event.address and event.address.city))
    app = connect("memory:", registry, keys=MemoryKeys(), cache=10)
    app.event_store.append("a", Moved("ada", BAKER))
    assert app.event_store.load(cached, "a").state == Customer("London")
    app.event_store.forget("ada")
    assert app.event_store.load(cached, "a").state == Customer(None)


# --- price and silence


class Counting:
    """A key store that notes what it is asked."""

    def __init__(self) -> None:
        self.inner = MemoryKeys()
        self.asked: list[tuple[str, int]] = []

    def keys(self, port: Port) -> Keys:
        self._keys = self.inner.keys(port)
        return self

    def close(self) -> None: ...

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        self.asked.append(("create", len(offered)))
        return (await self._keys.create_many(offered))[0], Receipt(requests=1, commands=3)

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        self.asked.append(("get", len(subjects)))
        return (await self._keys.get_many(subjects))[0], Receipt(requests=1, commands=2)

    async def forget(self, subject: str) -> Receipt:
        return await self._keys.forget(subject)

    async def readmit(self, subject: str) -> Receipt:
        return await self._keys.readmit(subject)


def test_a_page_asks_the_key_store_once_and_only_if_something_is_sealed(colour: Colour) -> None:
    registry, _ = customers()
    keys = Counting()
    app = Keyed(Memory(), registry, colour, keys)
    assert app.append("a", Ordered("ada", "tea"), Moved("ada", None)).receipt == Receipt()
    app.read()
    app.catch_up()
    assert keys.asked == []
    appended = app.append("a", Moved("ada", BAKER), Moved("bob", RIVOLI), Ordered("ada", "tea"), Moved("ada", RIVOLI))
    assert appended.receipt == Receipt(requests=1, commands=3)
    app.read()
    app.read_stream("a")
    assert app.catch_up().receipt == Receipt(requests=1, commands=2)
    assert keys.asked == [("create", 2), ("get", 2), ("get", 2), ("get", 2)]


def test_neither_data_nor_key_is_shown(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(cipher, "new_key", lambda: SubjectKey("id", b"open sesame, open sesame, open!!"))
    monkeypatch.setattr("eventsource_upstash._flow.sealing.new_key", cipher.new_key)
    keys = MemoryKeys()
    app = connect("memory:", customers()[0], keys=keys)
    app.event_store.append("a", Moved("ada", BAKER), idempotency_key="k")
    app.projector.catch_up()
    list(app.event_store.read())
    app.event_store.forget("ada")
    assert caplog.records
    shown = caplog.text + repr(app) + repr(keys) + repr(app.event_store) + repr(cipher.new_key())
    assert not re.search("sesame|Baker|London|ada", shown)


@dataclass(frozen=True)
class Mutable:
    customer: str
    tags: Personal[list[str]] = field(default_factory=list[str])


def test_a_default_is_sealed_like_any_other_value() -> None:
    registry = Registry()
    registry.event("noted", subject="customer")(Mutable)
    app = connect("memory:", registry, keys=MemoryKeys())
    app.event_store.append("a", Mutable("ada"))
    assert set(msgspec.json.decode(raw(app.backend)[0][9])["tags"]) == {"$personal"}
    assert next(app.event_store.read()).event == Mutable("ada", [])


@dataclass(frozen=True)
class Relative:
    customer: str
    name: Personal[str]
    children: list[Relative] | None = None


class Notes(TypedDict):
    text: Personal[str]


@dataclass(frozen=True)
class Noted:
    customer: str
    notes: Notes


@dataclass(frozen=True)
class Branch:
    left: Branch | None = None
    right: list[Branch] | None = None


@dataclass(frozen=True)
class Family:
    customer: str
    name: Personal[str]
    tree: Branch | None = None


def test_classes_that_hold_themselves_are_looked_through_once() -> None:
    """Where nothing within them is personal they may stand in an event, and where something is it is refused."""
    registry = Registry()
    registry.event("family", subject="customer")(Family)
    store = EventStore(Memory(), registry, keys=MemoryKeys())
    event = Family("c-1", "Ada", Branch(Branch(), [Branch()]))
    store.append("c-1", event)
    assert [each.event for each in store.read()] == [event]


def test_what_stands_within_itself_or_within_a_typed_dict_cannot_be_personal() -> None:
    refused("event type 'moved': a Personal[...] stands within the type of field Relative.children.name", Relative)
    refused("event type 'moved': a Personal[...] stands within the type of field Noted.notes.text", Noted)
