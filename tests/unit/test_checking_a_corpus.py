"""A corpus check finds every change that the events of older releases do not fit, and adds what is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from eventsource_upstash import InvalidEvent, Misuse, Projection, Registry
from eventsource_upstash.testing import add_to_corpus, check_corpus


@dataclass(frozen=True)
class Added:
    text: str


@dataclass(frozen=True)
class AddedToday:
    title: str


@dataclass(frozen=True)
class Dropped:
    reason: str = ""


@dataclass(frozen=True)
class Task:
    text: str


@dataclass(frozen=True)
class TaskToday:
    title: str


def first_release() -> tuple[Registry, Projection[Task]]:
    registry = Registry()
    registry.event("task-added")(Added)
    registry.event("task:dropped/here")(Dropped)
    return registry, registry.projection("tasks", Task)


def titled(data: dict[str, object]) -> dict[str, object]:
    return {"title": data["text"]}


def of_today(upcaster: Callable[[dict[str, object]], dict[str, object]] = titled) -> Registry:
    registry = Registry()
    registry.upcast("task-added", from_version=1)(upcaster)
    registry.event("task-added", version=2)(AddedToday)
    registry.event("task:dropped/here")(Dropped)
    registry.projection("tasks", TaskToday, version=2)
    return registry


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """As the first release has written it."""
    folder = tmp_path / "corpus"
    registry, tasks = first_release()
    written = add_to_corpus(
        registry, folder, Added("wash"), Dropped("no time"), Added("dry"), documents={tasks: [Task("wash")]}
    )
    assert {path.relative_to(folder).as_posix() for path in written} == {
        "events/task-added.v1.json",
        "events/task%3Adropped%2Fhere.v1.json",
        "projections/tasks.v1.json",
    }
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.json")}


def refused(registry: Registry, folder: Path, *told: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_corpus(registry, folder)
    heading, *problems = str(caught.value).splitlines()
    assert heading == f"the corpus in {folder.name!r} and the registry do not fit:"
    assert [problem.removeprefix("- ") for problem in problems] == list(told)


def test_a_file_says_what_it_holds(corpus: Path) -> None:
    assert json.loads((corpus / "events" / "task-added.v1.json").read_bytes()) == {
        "event": "task-added",
        "version": 1,
        "samples": [{"text": "wash"}, {"text": "dry"}],
    }
    assert json.loads((corpus / "projections" / "tasks.v1.json").read_bytes()) == {
        "projection": "tasks",
        "version": 1,
        "samples": [{"text": "wash"}],
    }


def test_what_the_registry_itself_has_written_is_read(corpus: Path) -> None:
    assert check_corpus(first_release()[0], corpus) == {
        "events/task-added.v1.json": (Added("wash"), Added("dry")),
        "events/task%3Adropped%2Fhere.v1.json": (Dropped("no time"),),
        "projections/tasks.v1.json": (Task("wash"),),
    }


def test_files_may_be_named_and_placed_as_one_likes(corpus: Path) -> None:
    (corpus / "deep" / "down").mkdir(parents=True)
    (corpus / "events" / "task-added.v1.json").rename(corpus / "deep" / "down" / "by hand.json")
    (corpus / "README.md").write_text("not a sample")
    assert check_corpus(first_release()[0], str(corpus))["deep/down/by hand.json"] == (Added("wash"), Added("dry"))


def test_a_new_version_without_a_sample(corpus: Path) -> None:
    refused(
        of_today(),
        corpus,
        "event type 'task-added', version 2: there is no sample yet; add one with "
        "add_to_corpus(registry, folder, AddedToday(...))",
        "projection 'tasks', version 2: there is no sample yet; add one with "
        "add_to_corpus(registry, folder, documents={tasks: [...]})",
    )


def test_samples_of_a_new_version_are_added_and_no_other_file_is_touched(corpus: Path) -> None:
    before = contents(corpus)
    registry = of_today()
    tasks = cast("Projection[TaskToday]", registry.projections[0])
    samples = {tasks: [TaskToday("rest")]}
    written = add_to_corpus(registry, corpus, AddedToday("rest"), Dropped("another"), documents=samples)
    assert [path.name for path in written] == ["task-added.v2.json", "tasks.v2.json"]
    after = contents(corpus)
    assert {path: after[path] for path in before} == before
    read = check_corpus(registry, corpus)
    assert read["events/task-added.v1.json"] == (AddedToday("wash"), AddedToday("dry"))
    assert read["events/task-added.v2.json"] == (AddedToday("rest"),)
    assert read["projections/tasks.v1.json"] == (), "another view"
    assert read["projections/tasks.v2.json"] == (TaskToday("rest"),)
    assert add_to_corpus(registry, corpus, AddedToday("once more"), documents=samples) == ()
    assert contents(corpus) == after


def test_projections_without_any_sample_need_none(corpus: Path) -> None:
    registry = first_release()[0]
    registry.projection("others", Task)
    assert len(check_corpus(registry, corpus)) == 3


def test_a_class_that_changed_without_a_new_version(corpus: Path) -> None:
    registry = Registry()
    registry.event("task-added")(AddedToday)
    registry.event("task:dropped/here")(Dropped)
    registry.projection("tasks", TaskToday)
    why = "Object missing required field `title`"
    remedy = "if the class changed, give it version=2 and an upcaster from_version=1"
    refused(
        registry,
        corpus,
        f"events/task-added.v1.json: event type 'task-added', version 1, sample 0: {why}; {remedy}",
        f"events/task-added.v1.json: event type 'task-added', version 1, sample 1: {why}; {remedy}",
        f"projections/tasks.v1.json: projection 'tasks', version 1, sample 0: {why}; give the projection version=2, so "
        "that its view is built anew",
    )


@pytest.mark.parametrize(
    ("upcaster", "why"),
    [
        (lambda data: {"title": data["name"]}, "the upcaster from version 1: KeyError: 'name'"),
        (lambda data: {}, "Object missing required field `title`"),
        (lambda data: {"title": 5}, "Expected `str`, got `int` - at `$.title`"),
    ],
)
def test_an_upcaster_that_fails(
    corpus: Path, upcaster: Callable[[dict[str, object]], dict[str, object]], why: str
) -> None:
    registry = of_today(upcaster)
    tasks = cast("Projection[TaskToday]", registry.projections[0])
    add_to_corpus(registry, corpus, AddedToday("rest"), documents={tasks: [TaskToday("rest")]})
    what = "events/task-added.v1.json: event type 'task-added', version 1"
    remedy = "mend the upcasters from version 1 to 2"
    refused(registry, corpus, f"{what}, sample 0: {why}; {remedy}", f"{what}, sample 1: {why}; {remedy}")


def test_a_type_and_a_projection_that_are_registered_no_longer(corpus: Path) -> None:
    registry = Registry()
    registry.event("task-added")(Added)
    refused(
        registry,
        corpus,
        "events/task%3Adropped%2Fhere.v1.json: event type 'task:dropped/here', version 1: it is not registered; "
        "register its class again, name it in formerly=('task:dropped/here',) of the type that it is called now, or "
        "declare registry.ignore('task:dropped/here') if its events do not matter any more",
        "projections/tasks.v1.json: projection 'tasks', version 1: it is not registered; where nobody reads its view "
        "any more, delete the file",
    )


def test_a_type_that_was_retired_or_renamed(corpus: Path) -> None:
    registry = Registry()
    registry.event("task-created", formerly=("task-added",))(Added)
    registry.ignore("task:dropped/here")
    registry.projection("tasks", Task)
    refused(
        registry,
        corpus,
        "event type 'task-created', version 1: there is no sample yet; add one with "
        "add_to_corpus(registry, folder, Added(...))",
    )
    add_to_corpus(registry, corpus, Added("rest"))
    read = check_corpus(registry, corpus)
    assert read["events/task-added.v1.json"] == (Added("wash"), Added("dry"))
    assert read["events/task-created.v1.json"] == (Added("rest"),)
    assert read["events/task%3Adropped%2Fhere.v1.json"] == ()


def test_a_version_that_was_taken_back(corpus: Path) -> None:
    registry = of_today()
    tasks = cast("Projection[TaskToday]", registry.projections[0])
    add_to_corpus(registry, corpus, AddedToday("rest"), documents={tasks: [TaskToday("rest")]})
    refused(
        first_release()[0],
        corpus,
        "events/task-added.v2.json: event type 'task-added', version 2: the registry knows it up to version 1 only, "
        "and a version is never taken back; register it with version=2 or above, and the upcasters that lead there",
        "projections/tasks.v2.json: projection 'tasks', version 2: the registry has version 1, and a version is never "
        "taken back; raise it above 2",
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"version": 1, "samples": [{}]}', "it names either an event or a projection"),
        (
            '{"event": "a", "projection": "b", "version": 1, "samples": [{}]}',
            "it names either an event or a projection",
        ),
        ('{"event": "a", "version": 0, "samples": [{}]}', "Expected `int` >= 1 - at `$.version`"),
        ('{"event": "a", "version": 1, "samples": []}', "Expected `array` of length >= 1 - at `$.samples`"),
        ('{"event": "a", "version": 1, "sample": {}}', "Object contains unknown field `sample`"),
        ('{"event": "a", "version": 1, "samples": [{"secret": 1]}', "JSON is malformed"),
    ],
)
def test_a_file_that_is_none(corpus: Path, text: str, why: str) -> None:
    registry, _ = first_release()
    (corpus / "more.json").write_text(text)
    with pytest.raises(AssertionError, match=re.escape(f"- more.json is no file of a corpus: {why}")) as caught:
        check_corpus(registry, corpus)
    assert "secret" not in str(caught.value)
    before = contents(corpus)
    with pytest.raises(Misuse, match=re.escape(f"more.json is no file of a corpus: {why}")):
        add_to_corpus(registry, corpus, Added("x"))
    assert contents(corpus) == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"there is no folder 'none'; add_to_corpus\(registry, folder, event, ...\)"
    ):
        check_corpus(first_release()[0], tmp_path / "none")


def test_an_empty_folder_lacks_every_type(tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"'task-added', version 1: there is no sample yet(.|\n)*'task:dropped/here'"
    ):
        check_corpus(first_release()[0], tmp_path)


def test_what_cannot_be_a_sample(tmp_path: Path) -> None:
    registry, tasks = first_release()
    with pytest.raises(Misuse, match="AddedToday is not registered as an event type"):
        add_to_corpus(registry, tmp_path, AddedToday("x"))
    with pytest.raises(InvalidEvent):
        add_to_corpus(registry, tmp_path, Added(cast("str", 5)))
    with pytest.raises(Misuse, match="is no projection of this registry"):
        add_to_corpus(registry, tmp_path, documents={first_release()[1]: [Task("x")]})
    with pytest.raises(Misuse, match="projection 'tasks': a sample is a Task, not a TaskToday"):
        add_to_corpus(registry, tmp_path, documents={tasks: [TaskToday("x")]})
    assert list(tmp_path.iterdir()) == []
