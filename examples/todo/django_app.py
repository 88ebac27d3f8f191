"""The to-do list on Django, in one file: `gunicorn --threads 8 examples.todo.django_app:application`."""

from __future__ import annotations

import secrets
from functools import cache

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path, re_path

from eventsource_upstash import web

from . import routes
from .app import Todo

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    SECRET_KEY=secrets.token_hex(),  # nothing here is signed, and Django wants one
    APPEND_SLASH=False,
    MIDDLEWARE=[],
)


@cache
def the_todo() -> Todo:
    """The to-do list, opened at the first request."""
    return Todo().start()


def respond(request: HttpRequest) -> HttpResponseBase:
    """Carry a request to the routes, and the answer back."""
    query: str = request.META.get("QUERY_STRING", "")
    plain = routes.Request(method(request), request.path, query, headers(request), body(request))
    if routes.wants_feed(plain):
        return answer(routes.follow(the_todo(), plain))
    return answer(routes.respond(the_todo(), plain))


def notified(request: HttpRequest) -> HttpResponseBase:
    """Carry a notification to its endpoint, and the answer back."""
    # Not build_absolute_uri, which checks ALLOWED_HOSTS: it is the signature that tells whether the URL is ours.
    url = f"{request.scheme}://{request.headers.get('host', '')}{request.get_full_path()}"
    return answer(the_todo().notified(web.Request(method(request), url, headers(request), body(request))))


def method(request: HttpRequest) -> str:
    return request.method or "GET"


def headers(request: HttpRequest) -> dict[str, str]:
    return routes.lower(request.headers.items())


def body(request: HttpRequest) -> bytes:
    return request.read(routes.MAX_BODY + 1)


def answer(response: web.Response | web.Streaming) -> HttpResponseBase:
    if isinstance(response, web.Streaming):
        return StreamingHttpResponse(response.parts, status=response.status, headers=dict(response.headers))
    return HttpResponse(response.body, status=response.status, headers=dict(response.headers))


urlpatterns = [path("projections", notified), re_path("", respond)]
application = get_wsgi_application()
