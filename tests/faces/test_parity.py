"""The two faces are one: the same names, signatures and words in both colours."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import eventsource_upstash
from eventsource_upstash import aio, blocking, connect, connect_async, web
from eventsource_upstash.aio import copying as aio_copying
from eventsource_upstash.aio import limits as aio_limits
from eventsource_upstash.aio import messages as aio_messages
from eventsource_upstash.aio import projector as aio_projector
from eventsource_upstash.aio import reactions as aio_reactions
from eventsource_upstash.aio import schedules as aio_schedules
from eventsource_upstash.aio import views as aio_views
from eventsource_upstash.blocking import copying as blocking_copying
from eventsource_upstash.blocking import limits as blocking_limits
from eventsource_upstash.blocking import messages as blocking_messages
from eventsource_upstash.blocking import projector as blocking_projector
from eventsource_upstash.blocking import reactions as blocking_reactions
from eventsource_upstash.blocking import schedules as blocking_schedules
from eventsource_upstash.blocking import views as blocking_views
from eventsource_upstash.sql import AsyncSync, Sync
from eventsource_upstash.web import asgi, endpoint, job_asgi, jobs, view_asgi, view_endpoint

BLOCKING_MODULES = (
    blocking,
    blocking_copying,
    blocking_limits,
    blocking_messages,
    blocking_projector,
    blocking_reactions,
    blocking_schedules,
    blocking_views,
)
ASYNC_MODULES = (
    aio,
    aio_copying,
    aio_limits,
    aio_messages,
    aio_projector,
    aio_reactions,
    aio_schedules,
    aio_views,
)


def classes_of(modules: tuple[ModuleType, ...]) -> dict[str, type]:
    return {
        name: cls
        for module in modules
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_")
    }


BLOCKING = classes_of(BLOCKING_MODULES)
ASYNC = classes_of(ASYNC_MODULES)
PAIRS = [(cls, ASYNC[f"Async{name}"]) for name, cls in BLOCKING.items() if f"Async{name}" in ASYNC]
FACES = list(PAIRS)
PAIRS.append((Sync, AsyncSync))
PAIRS.append((endpoint.Endpoint, asgi.AsyncEndpoint))
PAIRS.append((jobs.JobEndpoint, job_asgi.AsyncJobEndpoint))
PAIRS.append((view_endpoint.ViewEndpoint, view_asgi.AsyncViewEndpoint))

# What waits for nothing is plain in both colours; iterators wait as they are iterated.
PLAIN = {
    "App.job",
    "App.rate_limit",
    "App.job_url",
    "App.schedules",
    "App.worker",
    "Notifier.verify",
    "EventStore.read",
    "EventStore.read_stream",
    "Index.equal",
    "Index.range",
    "ProjectionStore.view",
    "Projector.follow",
    "Projector.parked",
    "Projector.wake_signal",
    "Reactions.pending",
    "View.index",
    "View.items",
    "ViewEndpoint.close",
    "ViewEndpoint.wake",
    "ViewEndpoint.wants_feed",
}


def plain_words(text: str | None) -> str:
    """A text without its colour."""
    text = inspect.cleandoc(text or "")
    for coloured, plain in (
        (r"\bAsync(?=[A-Z])", ""),
        (r"\bconnect_async\b", "connect"),
        (r"\ban `async (with|for)\b", r"a `\1"),
        (r"\basync (with|for)\b", r"\1"),
        (r"\ba task\b", "a thread"),
        (r", on the running loop", ""),
        (r"\bevent-loop\b", "blocking"),
        (r"\bAsyncIterator\b", "Iterator"),
    ):
        text = re.sub(coloured, plain, text)
    return " ".join(text.split())


def members(cls: type) -> dict[str, Any]:
    dunders = {"__init__", "__repr__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
    return {
        {"__aenter__": "__enter__", "__aexit__": "__exit__"}.get(name, name): member
        for name, member in vars(cls).items()
        if name in dunders or not name.startswith("_")
    }


def test_every_module_is_looked_at() -> None:
    for package, known in ((blocking, BLOCKING_MODULES), (aio, ASYNC_MODULES)):
        found = {f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)}
        assert found == {each.__name__ for each in known if each.__name__.startswith(f"{package.__name__}.")}


def test_every_class_has_its_twin() -> None:
    assert {f"Async{name}" for name in BLOCKING} == set(ASYNC)
    assert len(BLOCKING) >= 9


def test_every_class_is_public() -> None:
    public = set(eventsource_upstash.__all__)
    assert set(BLOCKING) | set(ASYNC) <= public
    assert {name for name in public if name.startswith("Async")} == set(ASYNC)
    assert {"connect", "connect_async"} <= public


def test_every_public_name_is_there() -> None:
    for name in eventsource_upstash.__all__:
        assert getattr(eventsource_upstash, name) is not None
    for name in web.__all__:
        assert getattr(web, name) is not None
    for module in (eventsource_upstash, web):
        with pytest.raises(AttributeError, match="has no attribute 'AsyncNothing'"):
            _ = module.AsyncNothing


@pytest.mark.parametrize(("plain", "coloured"), PAIRS, ids=lambda cls: cls.__name__)
def test_the_twins_have_the_same_members(plain: type, coloured: type) -> None:
    assert list(members(plain)) == list(members(coloured)), "the same, in the same order"
    assert [base.__name__ for base in plain.__bases__] == [base.__name__ for base in coloured.__bases__]


@pytest.mark.parametrize(("plain", "coloured"), FACES, ids=lambda cls: cls.__name__)
def test_the_twins_say_the_same(plain: type, coloured: type) -> None:
    assert plain_words(plain.__doc__) == plain_words(coloured.__doc__)
    for name, member in members(plain).items():
        assert plain_words(member.__doc__) == plain_words(members(coloured)[name].__doc__), name
        assert member.__doc__ or name.startswith("_"), "what is public is explained"


METHODS = [
    pytest.param(member, members(coloured)[name], id=f"{plain.__name__}.{name}")
    for plain, coloured in PAIRS
    for name, member in members(plain).items()
    if inspect.isfunction(member)
]


@pytest.mark.parametrize(("plain", "coloured"), METHODS)
def test_the_twins_methods_take_the_same(plain: Callable[..., Any], coloured: Callable[..., Any]) -> None:
    one, other = inspect.signature(plain), inspect.signature(coloured)
    assert list(one.parameters) == list(other.parameters)
    for name, parameter in one.parameters.items():
        twin = other.parameters[name]
        assert (parameter.kind, parameter.default) == (twin.kind, twin.default), name
        assert plain_words(str(parameter.annotation)) == plain_words(str(twin.annotation)), name
    answer = plain_words(str(other.return_annotation))
    assert plain_words(str(one.return_annotation)) == answer


@pytest.mark.parametrize(("plain", "coloured"), METHODS)
def test_whatever_waits_is_a_coroutine(plain: Callable[..., Any], coloured: Callable[..., Any]) -> None:
    assert not inspect.iscoroutinefunction(plain)
    quiet = plain.__qualname__ in PLAIN or plain.__name__ in {"__init__", "__repr__"}
    assert inspect.iscoroutinefunction(coloured) is not quiet


@pytest.mark.parametrize(
    ("plain", "coloured"),
    [
        (connect, connect_async),
        (web.wsgi_app, web.asgi_app),
        (web.wsgi_jobs, web.asgi_jobs),
        (web.wsgi_view, web.asgi_view),
    ],
)
def test_the_twin_functions_take_the_same(plain: Callable[..., Any], coloured: Callable[..., Any]) -> None:
    one, other = inspect.signature(plain), inspect.signature(coloured)
    assert [(each.name, each.kind, each.default) for each in one.parameters.values()] == [
        (each.name, each.kind, each.default) for each in other.parameters.values()
    ]


def test_the_functions_take_what_the_endpoint_takes() -> None:
    for function in (web.wsgi_app, web.asgi_app, web.lambda_handler):
        assert list(inspect.signature(function).parameters) == list(inspect.signature(web.Endpoint).parameters)
    for jobs_function in (web.wsgi_jobs, web.asgi_jobs, web.lambda_jobs):
        assert list(inspect.signature(jobs_function).parameters) == list(inspect.signature(web.JobEndpoint).parameters)
