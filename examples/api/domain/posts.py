"""Posts, and who likes them. Each like is a stream of its own, so that a thousand users can like a post at once.

post-written    somebody wrote
post-liked      somebody else likes it
post-unliked    and does no longer
post-archived   it is old, and not shown any more
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from eventsource_upstash import Recorded

from .rules import Forbidden, Unknown, checked_text, registry


# --8<-- [start:events]
@registry.event("post-written")
@dataclass(frozen=True)
class PostWritten:
    id: str
    author: str
    text: str


@registry.event("post-liked")
@dataclass(frozen=True)
class PostLiked:
    id: str
    author: str
    by: str


@registry.event("post-unliked")
@dataclass(frozen=True)
class PostUnliked:
    id: str
    author: str
    by: str


@registry.event("post-archived")
@dataclass(frozen=True)
class PostArchived:
    id: str


# --8<-- [end:events]


# -- The view: one document per post, found by when it was written --


# --8<-- [start:view]
@dataclass(frozen=True)
class Post:
    id: str
    author: str
    text: str
    written_at: datetime
    liked_by: tuple[str, ...] = ()


posts = registry.projection("posts", Post)
posts.index("written", lambda post: post.written_at.timestamp())
posts.index("author", "author")


@posts.on_recorded(PostWritten, key=lambda event: event.id)
def written(post: Post | None, recorded: Recorded[PostWritten]) -> Post:
    event = recorded.event
    return Post(event.id, event.author, event.text, recorded.recorded_at)


@posts.on(PostLiked, key="id")
def liked(post: Post | None, event: PostLiked) -> Post | None:
    return post and replace(post, liked_by=(*post.liked_by, event.by))


@posts.on(PostUnliked, key="id")
def unliked(post: Post | None, event: PostUnliked) -> Post | None:
    return post and replace(post, liked_by=tuple(name for name in post.liked_by if name != event.by))


@posts.on(PostArchived, key="id")
def archived(post: Post | None, event: PostArchived) -> None:
    return None


# --8<-- [end:view]


# -- Commands on a post --


@dataclass(frozen=True)
class WritePost:
    id: str
    author: str
    text: str


@dataclass(frozen=True)
class ArchivePost:
    id: str


@dataclass(frozen=True)
class Lifetime:
    archived: bool = False


lifetime = registry.aggregate("post", Lifetime)


@lifetime.on(PostWritten)
def began(state: Lifetime | None, event: PostWritten) -> Lifetime:
    return Lifetime()


@lifetime.on(PostArchived)
def over(state: Lifetime | None, event: PostArchived) -> Lifetime:
    return Lifetime(archived=True)


@lifetime.decide(WritePost)
def write(state: Lifetime | None, command: WritePost) -> PostWritten | None:
    if state is not None:
        return None  # the same request again
    return PostWritten(command.id, command.author, checked_text(command.text, "post"))


@lifetime.decide(ArchivePost)
def archive(state: Lifetime | None, command: ArchivePost) -> PostArchived | None:
    return None if state is None or state.archived else PostArchived(command.id)


# -- Commands on a like: one person's, of one post --


@dataclass(frozen=True)
class LikePost:
    post: Post
    by: str


@dataclass(frozen=True)
class UnlikePost:
    post: Post
    by: str


@dataclass(frozen=True)
class Like:
    liked: bool


like = registry.aggregate("like", Like)


@like.on(PostLiked)
def became(state: Like | None, event: PostLiked) -> Like:
    return Like(liked=True)


@like.on(PostUnliked)
def became_not(state: Like | None, event: PostUnliked) -> Like:
    return Like(liked=False)


@like.decide(LikePost)
def do_like(state: Like | None, command: LikePost) -> PostLiked | None:
    if command.by == command.post.author:
        raise Forbidden("Your own post is not for you to like.")
    if state is not None and state.liked:
        return None  # it is as it was wished
    return PostLiked(command.post.id, command.post.author, command.by)


@like.decide(UnlikePost)
def do_unlike(state: Like | None, command: UnlikePost) -> PostUnliked | None:
    if state is None or not state.liked:
        return None
    return PostUnliked(command.post.id, command.post.author, command.by)


PostCommand = WritePost | ArchivePost


def stream_of(command: PostCommand) -> str:
    return f"post-{command.id}"


def like_stream_of(command: LikePost | UnlikePost) -> str:
    return f"like-{command.post.id}-{command.by}"


def found(post: Post | None) -> Post:
    """The post, if there is one. Raises `Unknown`."""
    if post is None:
        raise Unknown("There is no such post. It may have been archived in the meantime.")
    return post
