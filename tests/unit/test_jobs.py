"""Jobs: which paths and handlers may be registered, how they are called, what they answer."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from eventsource_upstash import (
    App,
    AsyncApp,
    Job,
    Memory,
    Misuse,
    NotRetryable,
    RegistrationError,
    Registry,
    RetryLater,
    connect,
    connect_async,
)
from eventsource_upstash.testing.colours import Colour

PATH = "/workers/report"


@dataclass(frozen=True)
class Report:
    day: str
    rows: int


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    value: Colour = request.param
    return value


def app_of(colour: Colour) -> App | AsyncApp:
    return (connect if colour is Colour.BLOCKING else connect_async)("memory:", Registry())


def answered(colour: Colour, answer: object) -> bytes | None:
    """What is made of a handler's answer."""
    app = app_of(colour)
    app.job(PATH)(lambda job: answer)
    return colour.run(app.jobs.run(colour.port, Job(PATH, "m-1")))


@pytest.mark.parametrize(
    ("answer", "encoded"),
    [
        (None, None),
        (b"", b""),
        (b"\xff", b"\xff"),
        ("grün", "grün".encode()),
        ({"rows": 3}, b'{"rows":3}'),
        (Report("2026-11-21", 3), b'{"day":"2026-11-21","rows":3}'),
        (0, b"0"),
    ],
)
def test_what_a_handler_may_answer(colour: Colour, answer: object, encoded: bytes | None) -> None:
    assert answered(colour, answer) == encoded


def test_an_answer_that_cannot_be_written(colour: Colour) -> None:
    with pytest.raises(Misuse, match=r"job /workers/report: its handler answered a object, which cannot be written"):
        answered(colour, object())


def test_it_is_handed_the_message_and_stays_what_it_is(colour: Colour) -> None:
    app = app_of(colour)
    seen: list[Job] = []

    @app.job(PATH)
    def report(job: Job) -> str:
        seen.append(job)
        return "done"

    job = Job(PATH, "m-1", b'{"day": "2026-11-21", "rows": 3}', {"x": "y"}, 2, "nightly")
    assert report(job) == "done", "the decorator answers the function as it is"
    assert colour.run(app.jobs.run(colour.port, job)) == b"done"
    assert seen == [job, job]
    assert job.json() == {"day": "2026-11-21", "rows": 3}
    assert job.json(Report) == Report("2026-11-21", 3)
    assert (PATH in app.jobs, "/other" in app.jobs, app.jobs.paths) == (True, False, (PATH,))


@pytest.mark.parametrize("error", [KeyError("x"), NotRetryable("no"), RetryLater("later", after=3)])
def test_what_it_raises_is_raised(colour: Colour, error: Exception) -> None:
    app = app_of(colour)

    @app.job(PATH)
    def fails(job: Job) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        colour.run(app.jobs.run(colour.port, Job(PATH, "m-1")))
    assert raised.value is error


def test_nobody_knows_the_path(colour: Colour) -> None:
    with pytest.raises(Misuse, match=r"no job '/workers/other'.*@app\.job"):
        colour.run(app_of(colour).jobs.run(colour.port, Job("/workers/other", "m-1")))


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"[" * 100_000])
def test_a_body_that_is_no_json_is_never_tried_again(body: bytes) -> None:
    with pytest.raises(NotRetryable, match=r"not what job /workers/report reads"):
        Job(PATH, "m-1", body).json()


def test_a_body_that_is_of_another_shape_is_never_tried_again() -> None:
    with pytest.raises(NotRetryable):
        Job(PATH, "m-1", b'{"day": 5}').json(Report)


class Asynchronous:
    async def __call__(self, job: Job) -> str:
        return "later"


async def report(job: Job) -> str:
    return "later"


async def report_on(day: str, job: Job) -> str:
    return "later"


ASYNC_HANDLERS: list[Callable[[Job], object]] = [report, partial(report_on, "today"), Asynchronous()]


@pytest.mark.parametrize("handler", ASYNC_HANDLERS)
def test_a_handler_that_is_awaited_has_to_have_an_event_loop(handler: Callable[[Job], object]) -> None:
    app = AsyncApp(Memory(), Registry(), None)
    app.job(PATH)(handler)
    assert Colour.EVENT_LOOP.run(app.jobs.run(Colour.EVENT_LOOP.port, Job(PATH, "m-1"))) == b"later"
    with pytest.raises(RegistrationError, match=f"^job {PATH}: an async handler needs an event loop"):
        App(Memory(), Registry(), None).job(PATH)(handler)


@pytest.mark.filterwarnings("error")
def test_a_handler_that_answers_something_to_await(colour: Colour) -> None:
    app = app_of(colour)
    app.job(PATH)(lambda job: report_on("today", job))
    if colour is Colour.EVENT_LOOP:
        assert colour.run(app.jobs.run(colour.port, Job(PATH, "m-1"))) == b"later"
    else:
        with pytest.raises(Misuse, match=f"^job {PATH}: its handler answered something to await, and there is no"):
            colour.run(app.jobs.run(colour.port, Job(PATH, "m-1")))


def test_a_plain_handler_is_called_beside_the_event_loop() -> None:
    app = AsyncApp(Memory(), Registry(), None)
    app.job(PATH)(lambda job: threading.get_ident())
    assert (
        Colour.EVENT_LOOP.run(app.jobs.run(Colour.EVENT_LOOP.port, Job(PATH, "m-1")))
        != str(threading.get_ident()).encode()
    )


@pytest.mark.parametrize(
    "path", ["/", "/a", "/workers/report", "/v1.2/~me/a-b_c", "/a/", "/@user:1/x=1,2;(3)!$&'*+", "/X", "/" + "a" * 254]
)
def test_paths(colour: Colour, path: str) -> None:
    app = app_of(colour)
    app.job(path)(lambda job: None)
    assert path in app.jobs


NO_PATHS = [
    *["a", "workers/report", "https://a.example/b", "/a?b", "/a#b", "/a%2f", "/ä", "/a\\b", "//a", "/a//b", "/."],
    *["/..", "/a/../b", "/a/./b", "/a/..", "/...", "/a/..../b", "/{id}"],
]


@pytest.mark.parametrize("path", [*NO_PATHS, "", "/a b", "/a\n", "/" + "a" * 255, None, 5])
def test_no_paths(colour: Colour, path: Any) -> None:
    with pytest.raises(RegistrationError, match="job"):
        app_of(colour).job(path)
    with pytest.raises(RegistrationError, match="job"):
        app_of(colour).job_url(path)


def test_a_path_that_is_too_long_is_told_by_its_beginning() -> None:
    with pytest.raises(RegistrationError, match=r"^job '/a{39}'\.\.\.: 256 characters, at most 255 are allowed"):
        app_of(Colour.BLOCKING).job("/" + "a" * 255)


@pytest.mark.parametrize("lease", [1, 7 * 86_400, timedelta(seconds=1), timedelta(days=7)])
def test_how_long_a_lease_may_be(lease: float | timedelta) -> None:
    app = app_of(Colour.BLOCKING)
    app.job(PATH, lease=lease)(lambda job: None)
    assert PATH in app.jobs


@pytest.mark.parametrize("lease", [0.99, 7 * 86_400 + 1, timedelta(0), timedelta(days=8), float("nan"), True, "1"])
def test_how_long_it_may_not(lease: Any) -> None:
    with pytest.raises(RegistrationError, match=r"^job /workers/report: lease=.*: it is a number of seconds from 1 to"):
        app_of(Colour.BLOCKING).job(PATH, lease=lease)


def test_one_handler_for_each_path(colour: Colour) -> None:
    app = app_of(colour)
    app.job(PATH)(lambda job: None)
    with pytest.raises(RegistrationError, match=r"job /workers/report: the path has a handler already"):
        app.job(PATH)(lambda job: None)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (5, "no function"),
        (lambda: None, "takes one argument"),
        (lambda a, b: None, "takes one argument"),
        (lambda job: (yield), "yields"),
    ],
)
def test_no_handlers(colour: Colour, handler: Any, said: str) -> None:
    app = app_of(colour)
    with pytest.raises(RegistrationError, match=said):
        app.job(PATH)(handler)
    assert PATH not in app.jobs


def test_whose_parameters_cannot_be_told_may_be_a_handler(colour: Colour) -> None:
    def handler(*parameters: object) -> str:
        return "done"

    handler.__signature__ = "none"  # type: ignore[attr-defined]
    app = app_of(colour)
    app.job(PATH)(handler)
    assert colour.run(app.jobs.run(colour.port, Job(PATH, "m-1"))) == b"done"


@pytest.mark.parametrize("lease", [0, -1, float("nan"), True])
def test_no_lease(colour: Colour, lease: Any) -> None:
    app = app_of(colour)
    for register in (lambda: app.job(PATH, lease=lease), lambda: app.jobs.add(PATH, print, lease)):
        with pytest.raises(RegistrationError, match=f"job {PATH}.*lease"):
            register()
    assert PATH not in app.jobs


def test_a_handler_that_yields_in_an_event_loop_is_none_either() -> None:
    async def yields(job: Job) -> AsyncGenerator[None, None]:
        yield

    with pytest.raises(RegistrationError, match="yields, so that calling it does nothing"):
        app_of(Colour.EVENT_LOOP).job(PATH)(yields)


@pytest.mark.parametrize("after", [-1, 86_401, float("nan"), float("inf")])
def test_a_pause_that_cannot_be_one(after: float) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        RetryLater("later", after=after)


@pytest.mark.parametrize("after", [None, 0, 0.5, 86_400])
def test_a_pause_that_can_be_one(after: float | None) -> None:
    assert RetryLater("later", after=after).after == after


def test_a_job_in_this_process_has_no_url(colour: Colour) -> None:
    with pytest.raises(Misuse, match="called in this process"):
        app_of(colour).job_url(PATH)
    alone = (App if colour is Colour.BLOCKING else AsyncApp)(Memory(), Registry(), None)
    with pytest.raises(Misuse, match="nothing carries messages"):
        alone.job_url(PATH)
