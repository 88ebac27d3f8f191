"""The same scenarios under Starlette, FastAPI, Flask, Django and AWS Lambda."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Caller

CREATE = "mutation($text: String!) { createTask(text: $text) { id text done } }"
UPDATE = """
mutation($id: String!, $text: String!, $done: Boolean!) {
  updateTask(id: $id, text: $text, done: $done) { id text done }
}
"""
DELETE = "mutation($id: String!) { deleteTask(id: $id) }"


def test_a_task_lives_over_rest(caller: Caller) -> None:
    before = caller.head()
    created = caller.call("POST", "/api/tasks", {"text": "Do the dishes!"})
    task = created.json()
    assert (created.status, task["text"], task["done"]) == (201, "Do the dishes!", False)
    where = created.headers["location"]
    assert where == f"/api/tasks/{task['id']}"
    assert caller.call("GET", where).json() == task

    ticked = caller.call("PATCH", where, {"done": True})
    assert ticked.json() == {**task, "done": True}
    assert caller.call("PATCH", where, {"text": "Do all dishes"}).json() == {
        **task,
        "text": "Do all dishes",
        "done": True,
    }
    assert caller.call("PUT", where, {"text": "Rest", "done": False}).json() == {**task, "text": "Rest"}
    assert caller.tasks()[task["id"]] == {**task, "text": "Rest"}

    gone = caller.call("DELETE", where)
    assert (gone.status, gone.text) == (204, "")
    assert task["id"] not in caller.tasks()
    assert caller.call("GET", where).status == 404
    assert [kind for kind, _ in caller.events(before)] == ["create-task", *["update-task"] * 3, "delete-task"]


def test_a_task_lives_over_graphql(caller: Caller) -> None:
    before = caller.head()
    task = caller.graphql(CREATE, text="Do the dishes!")["data"]["createTask"]
    assert (task["text"], task["done"]) == ("Do the dishes!", False)
    assert task in caller.graphql("{ list { id text done } }")["data"]["list"]

    changed = {"id": task["id"], "text": "Done with it", "done": True}
    assert caller.graphql(UPDATE, **changed) == {"data": {"updateTask": changed}}
    assert changed in caller.graphql("{ list { id text done } }")["data"]["list"]

    assert caller.graphql(DELETE, id=task["id"]) == {"data": {"deleteTask": task["id"]}}
    assert changed not in caller.graphql("{ list { id text done } }")["data"]["list"]
    assert caller.events(before) == [
        ("create-task", {"id": task["id"], "text": "Do the dishes!"}),
        ("update-task", changed),
        ("delete-task", {"id": task["id"]}),
    ]


@pytest.mark.parametrize("done", [False, True])
def test_undo_of_a_deletion_brings_the_task_back_as_it_was(caller: Caller, done: bool) -> None:
    task_id = caller.add("Come back")
    if done:
        caller.call("PATCH", f"/api/tasks/{task_id}", {"done": True})
    caller.call("DELETE", f"/api/tasks/{task_id}")
    before = caller.head()
    back = caller.call("POST", f"/api/tasks/{task_id}/restore")
    assert (back.status, back.json()) == (200, {"id": task_id, "text": "Come back", "done": done})
    assert caller.tasks()[task_id] == back.json()
    assert [kind for kind, _ in caller.events(before)] == ["create-task", "update-task"][: 1 + done]

    again = caller.call("POST", f"/api/tasks/{task_id}/restore")  # clicked twice
    assert (again.status, again.json()) == (200, back.json())
    assert len(caller.events(before)) == 1 + done


def test_a_change_to_what_is_already_so_appends_nothing(caller: Caller) -> None:
    task_id = caller.add("Same")
    before = caller.head()
    assert caller.call("PATCH", f"/api/tasks/{task_id}", {"text": "Same", "done": False}).status == 200
    assert caller.head() == before


def test_tasks_are_listed_in_the_order_of_creation(caller: Caller) -> None:
    ids = [caller.add(f"Number {number}") for number in range(12)]
    assert [key for key in caller.tasks() if key in ids] == ids


def test_a_request_sent_again_under_its_key_happens_once(caller: Caller) -> None:
    for number, key in enumerate(["any text as a key", "0660c20a9eebf24ba83388a6"]):
        before = caller.head()
        first = caller.call("POST", "/api/tasks", {"text": "Once"}, idempotency_key=key + caller.framework)
        second = caller.call("POST", "/api/tasks", {"text": "Once"}, idempotency_key=key + caller.framework)
        assert (first.status, first.json()) == (second.status, second.json()), number
        assert first.headers["event-position"] == second.headers["event-position"]
        assert caller.head() == before + 1
        where = first.headers["location"]
        deletions = [caller.call("DELETE", where, idempotency_key=f"gone {number}").status for _ in range(2)]
        assert deletions == [204, 204]
        assert caller.head() == before + 2
        other = caller.call("POST", "/api/tasks", {"text": "Another"}, idempotency_key=f"gone {number}")
        assert (other.status, caller.head()) == (422, before + 2)
        assert "Idempotency-Key" in other.json()["detail"]


def test_whoever_knows_a_position_reads_a_view_that_has_reached_it(caller: Caller) -> None:
    created = caller.call("POST", "/api/tasks", {"text": "Here"})
    position = created.headers["event-position"]
    assert created.json() in caller.call("GET", f"/api/tasks?at_least={position}").json()


def test_a_notification_is_answered(caller: Caller) -> None:
    caller.add("Fold me")
    reply = caller.notify(b'{"position": %d}' % caller.head())
    assert (reply.status, reply.json()["position"]) == (200, caller.head())
    assert caller.lag() == 0


# -- The page --


def test_the_page_comes_from_this_host_alone(caller: Caller) -> None:
    page = caller.send("GET", "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    asked, seen = ["/", "/graphql"], set[str]()
    while asked:
        path = asked.pop()
        if path in seen or path.startswith("/api"):
            continue
        seen.add(path)
        file = caller.send("GET", path)
        assert file.status == 200, path
        assert not re.search(r"(?:src|href|url|from|import)\s*[=(]?\s*[\"']?(?:https?:)?//", file.text), path
        asked += re.findall(r"[\"'](/[a-z][a-z0-9./-]*)[\"']", file.text)
    assert {"/static/app.js", "/static/list.js", "/static/app.css", "/static/console.js"} <= seen


def test_a_file_that_did_not_change_is_not_sent_again(caller: Caller) -> None:
    first = caller.send("GET", "/static/app.js")
    again = caller.send("GET", "/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.text) == (304, "")


# -- The log --


def test_the_log_can_be_asked_for(caller: Caller) -> None:
    before = caller.head()
    task_id = caller.add("Tell me")
    page = caller.call("GET", f"/api/events?after={before}").json()
    (event,) = page["events"]
    assert event["position"] == page["status"]["head"] == before + 1
    assert (event["stream"], event["revision"], event["type"]) == (f"task-{task_id}", 1, "create-task")
    assert event["data"] == {"id": task_id, "text": "Tell me"}
    assert page["streams"] is (caller.framework != "lambda")
    assert len(caller.call("GET", "/api/events?recent=2").json()["events"]) == 2


def test_a_reader_that_is_ahead_of_the_log_is_told_to_begin_again(caller: Caller) -> None:
    caller.add("First")
    page = caller.call("GET", "/api/events?after=99999999").json()
    assert page["reset"] is True
    assert page["events"][0]["position"] == 1


# -- The feed of the list --


def test_the_list_is_followed_and_taken_up_again(caller: Caller) -> None:
    ids = [caller.add(text) for text in ("One", "Two\nlines")]
    accept = {"accept": "text/event-stream"}
    if caller.framework == "lambda":  # cannot stream: answers the list, which the page falls back to
        answer = caller.send("GET", "/api/tasks", headers=accept)
        assert answer.headers["content-type"].startswith("application/json")
        return
    first = followed(caller, accept, "level")
    assert first[0][:2] == ("reset", {})
    listed = {data["key"]: data["document"] for name, data, _ in first if name == "put"}
    assert listed == caller.tasks()
    assert listed.keys() >= set(ids)
    caller.call("DELETE", f"/api/tasks/{ids[0]}")
    ((name, data, _),) = followed(caller, {**accept, "last-event-id": first[-1][2]}, "delete")
    assert (name, data) == ("delete", {"key": ids[0]})


def followed(caller: Caller, headers: dict[str, str], last: str) -> list[tuple[str, dict[str, Any], str]]:
    """What the feed tells, up to a message of that name: name, data and id of each."""
    told: list[tuple[str, dict[str, Any], str]] = []
    fields: dict[str, str] = {}
    with caller.http.stream("GET", "/api/tasks", headers=headers) as reply:  # type: ignore[attr-defined]
        assert reply.headers["content-type"].startswith("text/event-stream")
        for line in reply.iter_lines():
            field, _, value = line.partition(": ")
            fields[field] = value
            if field == "data":
                told.append((fields["event"], json.loads(value), fields["id"]))
                if fields["event"] == last:
                    break
    return told
