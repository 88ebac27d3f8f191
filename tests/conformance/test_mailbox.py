"""Mailboxes that break their contract, each of which is caught; those of this package are held in `test_backends`."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource_upstash.backends.memory.mailbox import MemoryMailbox
from eventsource_upstash.testing import MailboxContract
from eventsource_upstash.testing.colours import Colour
from tests.conformance import broken_mailbox as broken

GUARDS: dict[type[MemoryMailbox], tuple[str, ...]] = {
    broken.LosesBodies: ("test_a_message_is_claimed_as_it_was_put",),
    broken.SendsAtOnce: ("test_none_is_due_before_its_time",),
    broken.LastComesFirst: ("test_what_was_due_first_comes_first",),
    broken.ByTheirOwnTime: ("test_what_was_due_first_comes_first",),
    broken.TakesAll: ("test_no_more_are_claimed_than_were_asked_for",),
    broken.HoldsNothing: ("test_what_is_held_is_handed_to_nobody_else", "test_it_tells_when_the_next_is_due"),
    broken.HoldsForGood: ("test_when_the_lease_ends_it_is_handed_out_again",),
    broken.CountsNoAttempts: ("test_what_is_to_be_tried_again_is_due_then",),
    broken.IsNeverDone: ("test_what_is_done_is_gone",),
    broken.HoldsToTheSecond: ("test_a_lease_that_nobody_took_up_holds",),
    broken.AsksNobody: ("test_who_lost_the_lease_and_failed_changes_nothing",),
    broken.MindsTheLease: ("test_what_is_delivered_is_done_also_by_who_lost_the_lease",),
    broken.ForgetsWhatWasGivenUp: ("test_what_was_given_up_is_not_done_by_who_lost_the_lease",),
    broken.TakesAnything: ("test_an_id_that_waits_is_not_taken_twice",),
    broken.ForgetsAtOnce: ("test_the_id_of_what_is_done_is_remembered_for_a_day",),
    broken.ForgetsTheBuried: ("test_what_is_buried_is_not_tried_again",),
    broken.TriesAgainAtOnce: ("test_what_is_to_be_tried_again_is_due_then",),
    broken.OldestFirst: ("test_the_newest_of_the_buried_comes_first",),
    broken.KeepsOneBuried: ("test_the_buried_are_kept_for_thirty_days",),
    broken.RevivesNobody: ("test_what_is_revived_begins_anew",),
    broken.RevivesAnybody: ("test_only_the_buried_can_be_revived",),
    broken.NeverKnowsTheTime: ("test_it_tells_when_the_next_is_due", "test_it_tells_when_a_schedule_is_due"),
    broken.HandsOutAnything: ("test_who_has_no_job_for_it_is_not_handed_a_message",),
    broken.LeavesNothing: ("test_it_tells_what_waits_for_those_who_have_the_job",),
    broken.StumblesOverNothing: ("test_nothing_is_put_and_nothing_is_lost_by_it",),
    broken.LooksThenTakes: ("test_several_who_claim_at_once_never_get_the_same",),
    broken.SendsForEachCaller: ("test_a_schedule_sends_once_to_several_who_claim_at_once",),
    broken.SendsAllThatWentBy: ("test_moments_that_went_by_become_one_message",),
    broken.SendsNothing: ("test_a_schedule_becomes_a_message_at_its_moment",),
    broken.WaitsForTheLast: ("test_a_schedule_does_not_wait_for_its_last_message",),
    broken.BeginsAnew: ("test_one_saved_with_the_same_cron_keeps_its_moment",),
    broken.KeepsTheFirst: ("test_one_saved_with_another_cron_is_due_by_it",),
    broken.NeverRests: ("test_a_schedule_that_rests_sends_nothing", "test_only_a_schedule_that_is_there_can_rest"),
    broken.RestsAsItIsSaved: ("test_one_that_is_saved_again_goes_on_resting_or_not_as_it_did",),
    broken.GoesOnAnew: ("test_one_that_goes_on_already_keeps_its_moment",),
    broken.KeepsAnyMoment: ("test_a_moment_that_a_wrong_clock_set_is_set_right_by_the_next_save",),
    broken.ListsAsTheyCame: ("test_schedules_are_listed_in_order",),
    broken.RemovesNothing: ("test_a_schedule_that_is_removed_sends_nothing",),
    broken.ForgetsWhoSent: ("test_its_schedule_is_known_of_a_message_that_was_buried",),
}

LOST: tuple[str, ...] = (
    "test_messages_stay_when_the_backend_is_closed",
    "test_schedules_stay_when_the_backend_is_closed",
)
"""What notices a mailbox whose storage is gone when it is opened again."""

TESTS = {name for name in dir(MailboxContract) if name.startswith("test_")}


@pytest.mark.parametrize("mailbox", GUARDS, ids=lambda mailbox: mailbox.__name__)
def test_a_broken_mailbox_is_caught(mailbox: type[MemoryMailbox], tmp_path: Path) -> None:
    failed = broken.Contract(mailbox).run_tests(tmp_path, Colour.EVENT_LOOP, only=GUARDS[mailbox])
    assert set(failed) == set(GUARDS[mailbox])


def test_one_that_loses_all_when_it_is_closed_is_caught(tmp_path: Path) -> None:
    failed = broken.Contract(broken.Whole, lost=True).run_tests(tmp_path, Colour.EVENT_LOOP, only=LOST)
    assert set(failed) == set(LOST)


def test_the_same_mailbox_unbroken_passes(tmp_path: Path) -> None:
    assert broken.Contract(broken.Whole).run_tests(tmp_path, Colour.EVENT_LOOP) == {}


def test_every_test_can_fail() -> None:
    assert {name for names in GUARDS.values() for name in names} | set(LOST) == TESTS
