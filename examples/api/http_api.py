"""The API over HTTP: each address a few lines over the service. Errors are in `problems.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from eventsource_upstash import Projection, web

from .domain import leaderboard, posts, reminders, reports, sessions
from .domain.rules import new_id
from .problems import NotModified, SignedOut, TooMany
from .service import Listing, Overview, Service

D = TypeVar("D")

router = APIRouter()


# -- What handlers are given --


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Api = Annotated[Service, Depends(service_of)]


class Caller(NamedTuple):
    """Whoever has a session."""

    token: str
    session: sessions.Session

    @property
    def user(self) -> str:
        return self.session.user


# --8<-- [start:caller]
async def caller_of(service: Api, authorization: Annotated[str, Header()] = "") -> Caller:
    """The caller's session: `Authorization: Bearer TOKEN`."""
    scheme, _, token = authorization.partition(" ")
    session = await service.session(token) if scheme.lower() == "bearer" and token else None
    if session is None:
        raise SignedOut  # or never there, or ended by itself: nobody has to tell these apart
    return Caller(token, session)


SignedIn = Annotated[Caller, Depends(caller_of)]
# --8<-- [end:caller]


# --8<-- [start:limit]
async def within_limit(request: Request, response: Response, service: Api, caller: SignedIn) -> Caller:
    """A caller who may still write. Counted before anything else is looked at."""
    limited = await service.writes.check(caller.user)
    if not limited.allowed:
        raise TooMany(limited)  # answered with 429, and when to come again
    response.headers.update(limited.headers)
    request.state.limited = limited  # for the answer to an error
    return caller


Writer = Annotated[Caller, Depends(within_limit)]
# --8<-- [end:limit]


PUBLIC = "public, no-cache"
"""Cache-Control of what is the same for everybody: it may be kept anywhere, and is asked about each time."""

PRIVATE = "private, no-cache"


# --8<-- [start:cached]
def cached(projection: Projection[D], cache_control: str = PUBLIC) -> Callable[..., Awaitable[None]]:
    """Answers from views carry their version, and who has that version already gets a 304 instead."""

    async def check(request: Request, response: Response, service: Api) -> None:
        version = await service.version(projection)
        headers = web.validators(version, cache_control=cache_control)
        if cache_control == PRIVATE:
            headers["vary"] = "authorization"
        if web.not_modified(request.headers.get("if-none-match"), version):
            raise NotModified(headers)
        response.headers.update(headers)

    return check


# --8<-- [end:cached]


async def key_of(
    caller: SignedIn, idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None
) -> str | None:
    """What tells a request from the same one sent again: the caller's key, and the caller."""
    return None if idempotency_key is None else f"{caller.user}/{idempotency_key}"


Key = Annotated[str | None, Depends(key_of)]
Id = Annotated[str, Path()]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# -- Sessions --


class NewSession(Body):
    name: str


class Session(BaseModel):
    user: str
    ends: str
    seconds_left: float
    token: str | None = None


def _told(service: Service, session: sessions.Session, token: str | None = None) -> Session:
    left = (session.ends - service.now()).total_seconds()
    return Session(user=session.user, ends=session.ends.isoformat(), seconds_left=round(left, 3), token=token)


@router.post("/session", status_code=201, response_model_exclude_none=True)
async def sign_in(body: NewSession, service: Api) -> Session:
    signed = await service.sign_in(body.name)
    return _told(service, signed.session, signed.token)


@router.get("/session", response_model_exclude_none=True)
async def show_session(service: Api, caller: SignedIn) -> Session:
    return _told(service, caller.session)


@router.post("/session/prolong", response_model_exclude_none=True)
async def prolong(service: Api, caller: SignedIn) -> Session:
    return _told(service, await service.prolong(caller.token, caller.session))


@router.delete("/session", status_code=204)
async def sign_out(service: Api, caller: SignedIn) -> None:
    await service.sign_out(caller.token)


# -- Posts --


class NewPost(Body):
    text: str


# --8<-- [start:posts]
@router.get("/posts", dependencies=[Depends(cached(posts.posts))])
async def list_posts(
    service: Api, limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None
) -> Listing:
    return await service.list_posts(limit, cursor)


@router.post("/posts", status_code=201)
async def write_post(body: NewPost, service: Api, caller: Writer, key: Key, response: Response) -> posts.Post:
    post = await service.write(posts.WritePost(new_id(key), caller.user, body.text), key)
    response.headers["Location"] = f"/posts/{post.id}"
    return post


# --8<-- [end:posts]


@router.get("/posts/{id}", dependencies=[Depends(cached(posts.posts))])
async def read_post(id: Id, service: Api) -> posts.Post:
    return await service.post(id)


@router.put("/posts/{id}/like")
async def like(id: Id, service: Api, caller: Writer) -> posts.Post:
    return await service.like(id, caller.user, liked=True)


@router.delete("/posts/{id}/like")
async def unlike(id: Id, service: Api, caller: Writer) -> posts.Post:
    return await service.like(id, caller.user, liked=False)


# -- Leaderboard --


@router.get("/leaderboard", dependencies=[Depends(cached(leaderboard.players))])
async def top(service: Api, n: Annotated[int, Query(ge=1, le=100)] = 10) -> list[leaderboard.Ranked]:
    return await service.top(n)


@router.get("/leaderboard/{name}", dependencies=[Depends(cached(leaderboard.players))])
async def standing(name: Id, service: Api, around: Annotated[int, Query(ge=0, le=20)] = 2) -> list[leaderboard.Ranked]:
    return await service.standing(name, around)


# -- Reports --


class NewReport(Body):
    fails: bool = False


# --8<-- [start:reports]
@router.post("/reports", status_code=202)
async def request_report(body: NewReport, service: Api, caller: Writer, key: Key, response: Response) -> reports.Report:
    report = await service.request_report(reports.RequestReport(new_id(key), caller.user, body.fails), key)
    response.headers["Location"] = f"/reports/{report.id}"  # where to ask how far it is
    response.headers["Retry-After"] = "1"
    return report


# --8<-- [end:reports]


@router.get("/reports")
async def list_reports(service: Api, caller: SignedIn) -> list[reports.Report]:
    return await service.list_reports(caller.user)


@router.get("/reports/{id}")
async def read_report(id: Id, service: Api, caller: SignedIn, response: Response) -> reports.Report:
    report = await service.report(id, caller.user)
    if report.state != "ready":
        response.headers["Retry-After"] = "1"
    return report


# -- Reminders --


class NewReminder(Body):
    text: str


@router.post("/reminders", status_code=201)
async def set_reminder(body: NewReminder, service: Api, caller: Writer, key: Key) -> reminders.Reminder:
    return await service.remind_later(new_id(key), caller.user, body.text, key)


@router.get("/reminders", dependencies=[Depends(caller_of), Depends(cached(reminders.reminders, PRIVATE))])
async def list_reminders(service: Api, caller: SignedIn) -> list[reminders.Reminder]:
    return await service.list_reminders(caller.user)


@router.delete("/reminders/{id}", status_code=204)
async def drop_reminder(id: Id, service: Api, caller: SignedIn) -> None:
    await service.drop_reminder(id, caller.user)


# -- For whoever runs it --


@router.get("/overview")
async def overview(service: Api, caller: SignedIn) -> Overview:
    return await service.overview()


@router.post("/clean-up", status_code=202)
async def clean_up_now(service: Api, caller: Writer) -> None:
    await service.clean_up_now()


@router.post("/dead-letters/{id}/revive", status_code=202)
async def revive(id: Id, service: Api, caller: Writer) -> None:
    await service.revive(id)
