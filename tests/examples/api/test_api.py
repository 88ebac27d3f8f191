"""The API over HTTP, in numbers: on memory, and on a local Upstash."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from tests.examples.api.conftest import DAY

if TYPE_CHECKING:
    from tests.examples.api.conftest import Here, Site


def test_ten_requests_pass_and_the_eleventh_is_told_when_to_come_again(site: Site) -> None:
    user = site.sign_in()
    answers = [user.call("POST", "/posts", {"text": f"Number {number}"}) for number in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == [*map(str, range(9, -1, -1)), "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"10"}
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert int(refused.headers["x-ratelimit-reset"]) >= int(refused.headers["retry-after"])
    assert refused.json()["status"] == 429
    assert f"Try again in {refused.headers['retry-after']} s." in refused.json()["detail"]
    posts = user.get("/posts?limit=100")["items"]
    assert sum(post["author"] == user.name for post in posts) == 10
    assert site.sign_in().call("POST", "/posts", {"text": "Others may"}).status_code == 201


def test_after_ten_seconds_there_are_ten_again(here: Here) -> None:
    user = here.sign_in()
    assert [user.call("POST", "/posts", {"text": "x"}).status_code for _ in range(11)][-1] == 429
    here.moved += 9
    assert user.call("POST", "/posts", {"text": "x"}).status_code == 429
    here.moved += 1.1
    assert [user.call("POST", "/posts", {"text": "x"}).status_code for _ in range(11)] == [201] * 10 + [429]


def test_what_is_refused_counts_and_says_so(here: Here) -> None:
    user = here.sign_in()
    answer = user.call("POST", "/posts", {"text": " "})
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (422, "9")


def test_a_session_is_gone_after_its_time(site: Site) -> None:
    user = site.sign_in()
    told = user.get("/session")
    assert told["user"] == user.name
    assert 1_795 < told["seconds_left"] <= 1_800
    site.wait(1_790)  # using it has not prolonged it
    assert user.get("/session")["seconds_left"] <= 10
    site.wait(11)
    for method, path in [("GET", "/session"), ("POST", "/posts"), ("GET", "/reports"), ("POST", "/session/prolong")]:
        answer = user.call(method, path, {"text": "x"} if path == "/posts" else None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_session_lasts_as_long_again_when_it_is_prolonged(site: Site) -> None:
    user = site.sign_in()
    site.wait(1_500)
    assert 1_795 < user.call("POST", "/session/prolong").json()["seconds_left"] <= 1_800
    site.wait(1_500)
    assert user.get("/session")["seconds_left"] <= 300


def test_who_signed_out_is_out(site: Site) -> None:
    user = site.sign_in()
    assert user.call("DELETE", "/session").status_code == 204
    assert user.call("GET", "/session").status_code == 401
    for wrong in ("", "Bearer", "Bearer nobody", f"Basic {user.token}"):
        assert site.call("GET", "/session", authorization=wrong).status_code == 401


def test_the_log_does_not_know_the_token(here: Here) -> None:
    user = here.sign_in()

    async def log() -> str:
        return repr([recorded async for recorded in here.service.app.event_store.read()])

    text = asyncio.run(log())
    assert user.name in text
    assert user.token not in text


def test_an_unchanged_view_is_a_304_and_a_changed_one_is_not(site: Site) -> None:
    user = site.sign_in()
    post = user.writes("To be read twice")
    site.settle()
    for path in ("/posts", f"/posts/{post}", "/leaderboard", f"/leaderboard/{user.name}"):
        first = site.call("GET", path)
        assert (first.status_code, first.headers["cache-control"]) == (200, "public, no-cache")
        again = site.call("GET", path, if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    before = site.call("GET", "/posts").headers["etag"]
    site.sign_in().likes(post)
    changed = site.call("GET", f"/posts/{post}", if_none_match=before)
    assert (changed.status_code, len(changed.json()["liked_by"])) == (200, 1)


def test_what_is_mine_is_kept_by_nobody_else(site: Site) -> None:
    user = site.sign_in()
    answer = user.call("GET", "/reminders")
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("private, no-cache", "authorization")
    assert user.call("GET", "/reminders", if_none_match=answer.headers["etag"]).status_code == 304
    assert site.call("GET", "/reminders", if_none_match=answer.headers["etag"]).status_code == 401
    for path in ("/session", "/reports", "/overview"):
        assert user.call("GET", path).headers["cache-control"] == "no-store"


def test_posts_come_newest_first_in_parts(here: Here) -> None:
    user = here.sign_in()
    for number in range(5):
        user.writes(f"Number {number}")
        here.moved += 1
    seen: list[str] = []
    path = "/posts?limit=2"
    while path:
        page = user.get(path)
        seen += [post["text"] for post in page["items"]]
        path = f"/posts?limit=2&cursor={page['cursor']}" if page["cursor"] else ""
    assert seen == [f"Number {number}" for number in range(4, -1, -1)]


def test_a_like_counts_once_and_can_be_taken_back(site: Site) -> None:
    author, reader = site.sign_in("author"), site.sign_in("reader")
    post = author.writes("Like it twice")
    for method, liked in [("PUT", [reader.name]), ("PUT", [reader.name]), ("DELETE", []), ("DELETE", [])]:
        assert reader.call(method, f"/posts/{post}/like").json()["liked_by"] == liked
    assert author.call("PUT", f"/posts/{post}/like").status_code == 403
    assert reader.call("PUT", f"/posts/{'0' * 24}/like").status_code == 404


def test_ranks_move_with_likes_and_neighbours_are_told(here: Here) -> None:
    people = [here.sign_in("player") for _ in range(7)]
    posts = {person.name: person.writes("Hello") for person in people}
    for number, person in enumerate(people):  # the first is liked by nobody, the last by six
        for other in people[:number]:
            other.likes(posts[person.name])
    best = [person.name for person in reversed(people)]
    top = here.call("GET", "/leaderboard?n=3").json()
    assert [(each["rank"], each["player"]["name"]) for each in top] == [(1, best[0]), (2, best[1]), (3, best[2])]
    assert [each["player"]["points"] for each in top] == [61, 51, 41]

    def around(name: str) -> list[tuple[int, str]]:
        told = here.call("GET", f"/leaderboard/{name}?around=2").json()
        return [(each["rank"], each["player"]["name"]) for each in told]

    assert around(best[3]) == list(enumerate(best, 1))[1:6]
    assert around(best[0]) == list(enumerate(best, 1))[:3]
    assert around(best[6]) == list(enumerate(best, 1))[4:]
    assert around("nobody") == []
    for _ in range(4):  # a place for a like taken from the one above and given to the one below
        people[5].call("DELETE", f"/posts/{posts[best[0]]}/like")
    assert here.call("GET", "/leaderboard?n=1").json()[0]["player"] == {
        "name": best[0], "points": 51, "posts": 1, "likes": 5,
    }  # fmt: skip


def test_players_with_equal_points_have_places_too(here: Here) -> None:
    people = sorted([here.sign_in("equal") for _ in range(9)], key=lambda person: person.name, reverse=True)
    for person in people:
        person.writes("One point each")
    for place, person in enumerate(people):
        told = here.call("GET", f"/leaderboard/{person.name}?around=2").json()
        assert [each["rank"] for each in told] == list(range(max(1, place - 1), min(9, place + 3) + 1))
        assert [each["player"]["name"] for each in told if each["rank"] == place + 1] == [person.name]


@pytest.mark.parametrize("path", ["/posts", "/reports", "/reminders"])
def test_a_request_that_is_sent_again_happens_once(site: Site, path: str) -> None:
    user = site.sign_in()
    body = {} if path == "/reports" else {"text": "Once"}
    first, again = (user.call("POST", path, body, idempotency_key="the-same") for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    other = site.sign_in().call("POST", path, body, idempotency_key="the-same")
    assert other.status_code == first.status_code
    assert other.json()["id"] != first.json()["id"]


def test_a_report_is_answered_at_once_and_there_after_its_job(site: Site) -> None:
    user = site.sign_in()
    user.writes("The only one")
    before = site.head()
    asked = user.call("POST", "/reports", {})
    assert (asked.status_code, asked.json()["state"]) == (202, "queued")
    assert asked.headers["retry-after"] == "1"
    site.settle()
    report = user.get(asked.headers["location"])
    assert (report["state"], report["done"], report["of"]) == ("ready", 4, 4)
    assert report["summary"]["best"] == "The only one"
    assert report["summary"]["points"] == 1
    assert site.head() > before
    assert site.sign_in().call("GET", asked.headers["location"]).status_code == 404  # it is nobody else's


def test_a_job_that_is_delivered_again_does_nothing_again(site: Site) -> None:
    user = site.sign_in()
    asked = user.call("POST", "/reports", {}).json()
    set_ = user.call("POST", "/reminders", {"text": "Once"}).json()
    site.settle()
    before = site.head()
    for number in range(3):  # as messages of their own, even: not only repeats of one id
        site.deliver("/workers/report", {"id": asked["id"]}, f"again-{asked['id']}-{number}")
    site.settle()
    assert site.head() == before
    for number in range(3):
        site.deliver("/workers/remind", {"id": set_["id"]}, f"again-{set_['id']}-{number}")
    site.settle()
    assert site.head() == before + 1


def test_a_report_that_fails_is_a_dead_letter_until_it_is_revived(site: Site) -> None:
    user = site.sign_in()
    path = user.call("POST", "/reports", {"fails": True}).headers["location"]
    site.settle()
    failed = user.get(path)
    assert (failed["state"], failed["reason"]) == ("failed", "The printer is out of paper.")
    (letter,) = user.get("/overview")["dead_letters"]
    assert letter["destination"].endswith("/workers/report")
    assert user.call("POST", f"/dead-letters/{letter['id']}/revive").status_code == 202
    site.settle()
    assert user.get(path)["state"] == "ready"
    assert user.get("/overview")["dead_letters"] == []
    assert user.call("POST", f"/dead-letters/{letter['id']}/revive").status_code == 404


# --8<-- [start:reminder]
def test_a_reminder_comes_a_day_later_and_not_before_and_once(site: Site) -> None:
    user = site.sign_in()
    kept = user.call("POST", "/reminders", {"text": "Call grandmother"}).json()

    site.wait(DAY - 60)
    (waiting,) = user.again().get("/reminders")  # the session has ended meanwhile
    assert waiting["came_at"] is None

    site.wait(61)
    (came,) = user.again().get("/reminders")
    assert came["came_at"] is not None

    site.wait(DAY)
    assert site.history(f"reminder-{kept['id']}") == ["reminder-set", "reminder-came"]


# --8<-- [end:reminder]


def test_a_reminder_is_of_its_user_and_does_not_come_when_it_is_cancelled(site: Site) -> None:
    user = site.sign_in()
    kept = user.call("POST", "/reminders", {"text": "Never mind"}).json()
    due = datetime.fromisoformat(kept["due"].replace("Z", "+00:00"))
    now = datetime.fromtimestamp(site.clock() / 1e9, timezone.utc)
    assert DAY - 5 < (due - now).total_seconds() <= DAY
    other = site.sign_in()
    assert other.get("/reminders") == []
    assert other.call("DELETE", f"/reminders/{kept['id']}").status_code == 404
    assert user.call("DELETE", f"/reminders/{kept['id']}").status_code == 204
    site.wait(DAY + 1)
    assert user.again().get("/reminders") == []
    assert site.history(f"reminder-{kept['id']}") == ["reminder-set", "reminder-dropped"]


def test_a_reminder_that_has_come_can_be_dismissed(site: Site) -> None:
    user = site.sign_in()
    kept = user.call("POST", "/reminders", {"text": "Call grandmother"}).json()
    site.wait(DAY + 1)
    user = user.again()
    assert [each["id"] for each in user.get("/reminders")] == [kept["id"]]
    assert user.call("DELETE", f"/reminders/{kept['id']}").status_code == 204
    assert user.get("/reminders") == []


def test_every_night_what_is_old_is_archived(site: Site) -> None:
    user = site.sign_in()
    old = user.writes("Of last month")
    site.settle()
    overview = user.get("/overview")
    assert (overview["cron"], overview["paused"]) == ("0 3 * * *", False)
    runs = (overview["clean_ups"] or {"runs": 0})["runs"]
    site.wait(2 * DAY)
    user = user.again()
    assert (user.get("/overview")["clean_ups"] or {"runs": 0})["runs"] > runs
    assert site.call("GET", f"/posts/{old}").status_code == 200
    site.wait(29 * DAY)
    user = user.again()
    assert site.call("GET", f"/posts/{old}").status_code == 404
    assert all(post["id"] != old for post in user.get("/posts?limit=100")["items"])
    (standing,) = [each for each in user.get(f"/leaderboard/{user.name}") if each["player"]["name"] == user.name]
    assert standing["player"]["points"] == 1  # what was earned is kept


def test_the_clean_up_can_be_run_by_hand(site: Site) -> None:
    user = site.sign_in()
    runs = (user.get("/overview")["clean_ups"] or {"runs": 0})["runs"]
    assert user.call("POST", "/clean-up").status_code == 202
    site.settle()
    assert user.get("/overview")["clean_ups"]["runs"] == runs + 1
