"""Vectors over HTTP: in notifications and their answers, as tokens of reads, and nothing of them in an ETag."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource_upstash import App, Memory, join
from eventsource_upstash.domain.positions import plain, position_at
from eventsource_upstash.web import Endpoint, Request, Response, ViewEndpoint
from tests.kafka.partitioned import Apart, Partitioned, Topical
from tests.unit.todo import TaskCreated, Todo, todo
from tests.web.support import Posted

NOTIFIED = "https://app.example.com/projections"
VIEW = "https://app.example.com/tasks"


class World:
    def __init__(self, backend: Apart | Memory, *, time_budget: float = 20.0) -> None:
        self.backend = backend
        self.posted = Posted()
        self.the: Todo = todo()
        self.app = App(backend, self.the.registry, self.posted)
        self.endpoint = Endpoint(self.app, time_budget=time_budget)
        self.view = ViewEndpoint(self.app, self.the.tasks)

    def play(self, count: int = 9) -> list[int]:
        return [
            self.app.event_store.append(f"task-{number}", TaskCreated(str(number), "x")).position
            for number in range(count)
        ]

    def notify(self, position: object) -> Response:
        return self.endpoint.handle(Request("POST", NOTIFIED, {}, json.dumps({"position": position}).encode()))

    def get(self, path: str, **headers: str) -> Response:
        answer = self.view.handle(Request("GET", f"{VIEW}/{path}", headers, b""), path.partition("?")[0])
        assert isinstance(answer, Response)
        return answer


@pytest.fixture(params=[Partitioned, Topical])
def world(request: pytest.FixtureRequest) -> World:
    kind: Any = request.param
    return World(kind(3))


def test_a_notification_names_one_event_and_is_met_in_every_partition(world: World) -> None:
    positions = world.play()
    assert world.posted.positions == positions
    answer = world.notify(positions[4])
    assert answer.status == 200
    head = str(world.app.event_store.head())
    assert json.loads(answer.body) == {"applied": 9, "position": head, "head": head}
    assert [world.notify(each).status for each in positions] == [200] * 9


def test_a_notification_may_name_a_vector(world: World) -> None:
    world.play()
    head = world.app.event_store.head()
    assert world.notify(str(head)).status == 200
    world.play(1)
    assert world.notify(plain(head)).status == 200
    assert world.app.projection_store.view(world.the.tasks).count() == 9


@pytest.mark.parametrize("body", ["3", "0:", "x", "0:1,0:2", "9999:1", ""])
def test_what_is_no_position_is_refused(world: World, body: str) -> None:
    assert world.notify(body).status == 489


def test_a_notification_beyond_the_log_is_tried_again(world: World) -> None:
    positions = world.play()
    assert world.notify(max(positions) + 90).status == 500
    assert world.notify(str(join(*positions, max(positions) + 90))).status == 500
    assert world.notify(2**63 - 1).status == 500


def test_out_of_time_the_rest_is_notified_as_a_vector() -> None:
    backend = Partitioned(3)
    backend.partitions.window = 1
    world = World(backend)
    positions = world.play(12)
    world.posted.positions.clear()
    late = Endpoint(world.app, time_budget=1e-9)
    answer = late.handle(Request("POST", NOTIFIED, {}, b'{"position": %d}' % positions[0]))
    assert answer.status == 200
    assert world.posted.positions == [world.app.event_store.head()]
    assert world.notify(plain(world.posted.positions[0])).status == 200


def test_a_token_is_a_number_or_a_text(world: World) -> None:
    positions = world.play()
    assert world.get(f"8?at_least={positions[8]}").status == 200
    assert world.get(f"7?at_least={join(*positions)}").status == 200
    assert world.get(f"?at_least={world.app.event_store.head()}").status == 200


def test_a_token_beyond_the_log_is_409(world: World) -> None:
    positions = world.play()
    beyond = max(positions) + 50
    for token in (beyond, join(*positions, beyond), position_at(99, 1), 2**63 - 1):
        answer = world.get(f"1?at_least={token}")
        assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")


@pytest.mark.parametrize("token", ["0:", "-1", "1.5", "0:1,0:2", "a", str(2**63), "0:1," * 900])
def test_what_is_no_token_is_400(world: World, token: str) -> None:
    answer = world.get(f"1?at_least={token}")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert b"at_least" in answer.body


def test_a_strong_view_bears_whatever_token_a_client_sends() -> None:
    for backend in (Memory(), Partitioned(3)):
        world = World(backend)
        positions = world.play()
        world.view = ViewEndpoint(world.app, world.the.tasks, consistency="strong")
        assert world.get(f"8?at_least={positions[8]}").status == 200
        assert [world.get(f"8?at_least={token}").status for token in (2**62, "4000:1")] == [409, 409]


def test_an_etag_changes_with_every_partition_and_holds_no_vector(world: World) -> None:
    tags: list[str] = []
    for number in range(6):
        world.app.event_store.append(f"task-{number}", TaskCreated("1", f"text {number}"))
        world.app.projector.catch_up()
        tags.append(world.get("1").headers["etag"])
        assert world.get("1", **{"if-none-match": tags[-1]}).status == 304
    assert len(set(tags)) == 6
    assert not any(":" in tag for tag in tags)


def test_an_app_on_a_plain_log_takes_any_number_for_a_goal() -> None:
    world = World(Memory())
    world.play()
    caught_up = world.app.projector.catch_up(until=2**62)
    assert (caught_up.applied, caught_up.position, caught_up.complete) == (9, 9, False)
