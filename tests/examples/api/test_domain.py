"""The folds, decisions and reactions, without storage or web."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from eventsource_upstash import Send
from examples.api.domain import Forbidden, Invalid, Unknown, leaderboard, posts, reminders, reports, sessions
from examples.api.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
POST = posts.Post("0" * 24, "ada", "Hello", NOW)


def test_points_follow_from_posts_and_likes() -> None:
    player = leaderboard.wrote(None, posts.PostWritten("1", "ada", "x"))
    player = leaderboard.was_liked(player, posts.PostLiked("1", "ada", "bob"))
    assert player == leaderboard.Player("ada", points=11, posts=1, likes=1)
    assert leaderboard.was_unliked(player, posts.PostUnliked("1", "ada", "bob")).points == 1


def test_a_session_that_has_ended_is_not_revived() -> None:
    assert sessions.prolonged(None, sessions.SessionProlonged(NOW)) is None


def test_tokens_differ_and_streams_hide_them() -> None:
    one, other = sessions.new_token(), sessions.new_token()
    assert one != other
    assert one not in sessions.stream_of(one)
    assert sessions.stream_of(one) != sessions.stream_of(other)


def test_who_likes_likes_once_and_not_oneself() -> None:
    liked = posts.like.decide_on(None, posts.LikePost(POST, "bob"))
    assert liked == (posts.PostLiked(POST.id, "ada", "bob"),)
    state = posts.like.fold_events(None, liked)
    assert posts.like.decide_on(state, posts.LikePost(POST, "bob")) == ()
    assert posts.like.decide_on(None, posts.UnlikePost(POST, "bob")) == ()
    with pytest.raises(Forbidden):
        posts.like.decide_on(None, posts.LikePost(POST, "ada"))


def test_a_text_has_an_end() -> None:
    assert posts.lifetime.decide_on(None, posts.WritePost("1", "ada", "x" * 500))
    with pytest.raises(Invalid, match="501 characters"):
        posts.lifetime.decide_on(None, posts.WritePost("1", "ada", "x" * 501))


def test_what_a_report_goes_through() -> None:
    state = reports.progress.fold_events(None, [reports.ReportRequested("1", "ada")])
    (advanced,) = reports.progress.decide_on(state, reports.AdvanceReport("1", 2))
    state = reports.progress.fold_events(state, [advanced])
    assert reports.progress.decide_on(state, reports.AdvanceReport("1", 1)) == ()  # never backwards
    summary = reports.Summary(1, 0, 1, 1, "x")
    state = reports.progress.fold_events(state, reports.progress.decide_on(state, reports.MakeReport("1", summary)))
    for command in (
        reports.MakeReport("1", summary),
        reports.FailReport("1", "late"),
        reports.AdvanceReport("1", 3),
        reports.RequestReport("1", "ada"),
    ):
        assert reports.progress.decide_on(state, command) == ()


def test_a_reminder_comes_once_and_not_when_it_was_dropped() -> None:
    events = [reminders.ReminderSet("1", "ada", "x", NOW)]
    state = reminders.course.fold_events(None, events)
    came = reminders.course.decide_on(state, reminders.Remind("1"))
    assert came == (reminders.ReminderCame("1"),)
    assert reminders.course.decide_on(reminders.course.fold_events(state, came), reminders.Remind("1")) == ()
    dropped = reminders.course.decide_on(state, reminders.DropReminder("1", "ada"))
    assert reminders.course.decide_on(reminders.course.fold_events(state, dropped), reminders.Remind("1")) == ()
    with pytest.raises(Unknown):
        reminders.course.decide_on(state, reminders.DropReminder("1", "eve"))


def test_what_is_reacted_with() -> None:
    assert reports.order(reports.ReportRequested("1", "ada")) == Send("/workers/report", {"id": "1"})
    assert reminders.wind_up(reminders.ReminderSet("1", "ada", "x", NOW)) == Send(
        "/workers/remind", {"id": "1"}, not_before=NOW
    )


def test_spans_of_time_are_read_from_the_environment() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings().reminder_after == timedelta(hours=24)
    settings = Settings.from_env({"API_BACKEND": "memory:", "API_REMINDER_AFTER": "90s", "API_KEEP_POSTS": "2d"})
    assert (settings.backend, settings.reminder_after, settings.keep_posts) == (
        "memory:", timedelta(seconds=90), timedelta(days=2),
    )  # fmt: skip
    for wrong in ("24", "h", "-1h", "1.5h", "24 h", "٣h", "9999999d"):
        with pytest.raises(ValueError, match="API_SESSION"):
            Settings.from_env({"API_SESSION": wrong})
