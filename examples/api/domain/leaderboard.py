"""The leaderboard: who has how many points. It has no events of its own: it is another view of the posts'."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .posts import PostLiked, PostUnliked, PostWritten
from .rules import registry

# --8<-- [start:players]
FOR_A_POST = 1
FOR_A_LIKE = 10


@dataclass(frozen=True)
class Player:
    name: str
    points: int = 0
    posts: int = 0
    likes: int = 0


players = registry.projection("players", Player)
players.index("points", "points")


@players.on(PostWritten, key="author")
def wrote(player: Player | None, event: PostWritten) -> Player:
    player = player or Player(event.author)
    return replace(player, points=player.points + FOR_A_POST, posts=player.posts + 1)


@players.on(PostLiked, key="author")
def was_liked(player: Player | None, event: PostLiked) -> Player:
    player = player or Player(event.author)
    return replace(player, points=player.points + FOR_A_LIKE, likes=player.likes + 1)


@players.on(PostUnliked, key="author")
def was_unliked(player: Player | None, event: PostUnliked) -> Player:
    player = player or Player(event.author)
    return replace(player, points=player.points - FOR_A_LIKE, likes=player.likes - 1)


# --8<-- [end:players]


@dataclass(frozen=True)
class Ranked:
    """A player at a place. Nobody shares one: with equal points, the later name comes first."""

    rank: int
    player: Player
