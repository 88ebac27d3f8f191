"""Courses and students: rules that no single stream can keep."""

# --8<-- [start:events]
from dataclasses import dataclass

from eventsource_upstash import (
    AppendCondition,
    Appended,
    ConditionFailed,
    EventStore,
    Query,
    Registry,
    connect,
    connect_async,
)

registry = Registry()


@registry.event("course-defined", tags=lambda event: (f"course:{event.course}",))
@dataclass(frozen=True)
class CourseDefined:
    course: str
    capacity: int


@registry.event("course-capacity-changed", tags=lambda event: (f"course:{event.course}",))
@dataclass(frozen=True)
class CapacityChanged:
    course: str
    capacity: int


@registry.event(
    "student-subscribed",
    tags=lambda event: (f"student:{event.student}", f"course:{event.course}"),
)
@dataclass(frozen=True)
class StudentSubscribed:
    student: str
    course: str


# --8<-- [end:events]
# --8<-- [start:rules]
MOST_COURSES = 5


class Refused(Exception):
    """A rule says no."""


@dataclass
class Decision:
    """What there is to know before a student subscribes to a course."""

    capacity: int | None = None
    taken: int = 0
    courses: int = 0
    subscribed: bool = False

    def add(self, event: object, student: str, course: str) -> None:
        if isinstance(event, (CourseDefined, CapacityChanged)):
            self.capacity = event.capacity
        elif isinstance(event, StudentSubscribed):
            self.taken += event.course == course
            self.courses += event.student == student
            self.subscribed |= (event.student, event.course) == (student, course)

    def check(self) -> None:
        if self.capacity is None:
            raise Refused("there is no such course")
        if self.subscribed:
            raise Refused("subscribed already")
        if self.taken >= self.capacity:
            raise Refused("the course is fully booked")
        if self.courses >= MOST_COURSES:
            raise Refused(f"no more than {MOST_COURSES} courses")


# --8<-- [end:rules]


# --8<-- [start:subscribe]
def subscribe(event_store: EventStore, student: str, course: str) -> Appended:
    query = Query.of(tags=[f"course:{course}"]) | Query.of(
        types=[StudentSubscribed], tags=[f"student:{student}"]
    )
    while True:
        decision, seen = Decision(), 0
        for recorded in event_store.read(query=query):
            decision.add(recorded.event, student, course)
            seen = recorded.position
        decision.check()
        try:
            return event_store.append(
                f"course-{course}",
                StudentSubscribed(student, course),
                condition=AppendCondition(query, after=seen),
            )
        except ConditionFailed:
            continue  # somebody was quicker: read again, and decide on what is there now


# --8<-- [end:subscribe]


# --8<-- [start:define]
def define(event_store: EventStore, course: str, capacity: int) -> Appended:
    taken = AppendCondition(Query.of(types=[CourseDefined], tags=[f"course:{course}"]))
    try:
        return event_store.append(
            f"course-{course}", CourseDefined(course, capacity), condition=taken
        )
    except ConditionFailed:
        raise Refused("there is such a course already") from None


# --8<-- [end:define]


# --8<-- [start:change]
def change_capacity(event_store: EventStore, course: str, capacity: int) -> Appended:
    query = Query.of(types=[CourseDefined, CapacityChanged], tags=[f"course:{course}"])
    while True:
        present, seen = None, 0
        for recorded in event_store.read(query=query):
            assert isinstance(recorded.event, (CourseDefined, CapacityChanged))
            present, seen = recorded.event.capacity, recorded.position
        if present is None:
            raise Refused("there is no such course")
        if present == capacity:
            raise Refused("that is its capacity already")
        try:
            return event_store.append(
                f"course-{course}",
                CapacityChanged(course, capacity),
                condition=AppendCondition(query, after=seen),
            )
        except ConditionFailed:
            continue


# --8<-- [end:change]


def refusal(event_store: EventStore, student: str, course: str) -> str:
    try:
        subscribe(event_store, student, course)
    except Refused as refused:
        return str(refused)
    raise AssertionError("subscribed")


def test_subscribing() -> None:
    # --8<-- [start:use]
    event_store = connect("memory:", registry).event_store
    define(event_store, "maths", capacity=2)

    subscribe(event_store, "ada", "maths")
    subscribe(event_store, "ben", "maths")
    try:
        subscribe(event_store, "cleo", "maths")
    except Refused as refused:
        assert str(refused) == "the course is fully booked"

    change_capacity(event_store, "maths", 3)
    subscribe(event_store, "cleo", "maths")
    # --8<-- [end:use]


def test_a_course_is_defined_once() -> None:
    event_store = connect("memory:", registry).event_store
    define(event_store, "c1", 10)
    try:
        define(event_store, "c1", 15)
    except Refused as refused:
        assert str(refused) == "there is such a course already"
    else:
        raise AssertionError
    define(event_store, "c2", 15)
    assert event_store.head() == 2


def test_changing_the_capacity() -> None:
    event_store = connect("memory:", registry).event_store
    for course, capacity, told in (
        ("c0", 15, "there is no such course"),
        ("c1", 12, "that is its capacity already"),
    ):
        define(event_store, f"{course}-neighbour", 12)
        if course == "c1":
            define(event_store, course, 12)
        try:
            change_capacity(event_store, course, capacity)
        except Refused as refused:
            assert str(refused) == told
        else:
            raise AssertionError
    change_capacity(event_store, "c1", 15)
    *_, last = event_store.read()
    assert last.event == CapacityChanged("c1", 15)


def test_every_rule_of_a_subscription() -> None:
    event_store = connect("memory:", registry).event_store
    assert refusal(event_store, "s1", "c0") == "there is no such course"
    for number in range(1, 8):
        define(event_store, f"c{number}", 3)
    for number in range(1, 6):
        subscribe(event_store, "s1", f"c{number}")
    assert refusal(event_store, "s1", "c1") == "subscribed already"
    assert refusal(event_store, "s1", "c6") == "no more than 5 courses"
    subscribe(event_store, "s2", "c1")
    subscribe(event_store, "s3", "c1")
    assert refusal(event_store, "s4", "c1") == "the course is fully booked"
    change_capacity(event_store, "c1", 4)
    subscribe(event_store, "s4", "c1")
    change_capacity(event_store, "c1", 2)
    assert refusal(event_store, "s5", "c1") == "the course is fully booked"
    subscribe(event_store, "s4", "c7")


def test_tags_of_an_event() -> None:
    event_store = connect("memory:", registry).event_store
    # --8<-- [start:tags]
    event_store.append("course-maths", StudentSubscribed("ada", "maths"), tags=["term:2027"])
    (recorded,) = event_store.read(query=Query.of(tags=["student:ada", "term:2027"]))
    assert recorded.tags == ("student:ada", "course:maths", "term:2027")
    # --8<-- [end:tags]


def test_queries() -> None:
    # --8<-- [start:queries]
    course = Query.of(types=[CourseDefined, CapacityChanged], tags=["course:maths"])
    student = Query.of(types=[StudentSubscribed], tags=["student:ada"])
    either = course | student
    everything = Query.all()
    # --8<-- [end:queries]
    assert either.items == (*course.items, *student.items)
    assert everything.items


def test_meanwhile() -> None:
    event_store = connect("memory:", registry).event_store
    define(event_store, "maths", 1)
    # --8<-- [start:meanwhile]
    query = Query.of(tags=["course:maths"])
    seen = max(recorded.position for recorded in event_store.read(query=query))

    subscribe(event_store, "ben", "maths")  # meanwhile, somebody else
    define(event_store, "physics", 20)  # of no concern to the decision

    try:
        event_store.append(
            "course-maths",
            StudentSubscribed("ada", "maths"),
            condition=AppendCondition(query, after=seen),
        )
    except ConditionFailed as failed:
        assert (failed.after, failed.position) == (1, 2)
    # --8<-- [end:meanwhile]
    else:
        raise AssertionError


async def test_async() -> None:
    # --8<-- [start:async]
    app = connect_async("memory:", registry)
    query = Query.of(types=[CourseDefined], tags=["course:maths"])
    await app.event_store.append(
        "course-maths", CourseDefined("maths", 20), condition=AppendCondition(query)
    )
    found = [recorded.event async for recorded in app.event_store.read(query=query)]
    assert found == [CourseDefined("maths", 20)]
    # --8<-- [end:async]
