"""Which test catches which broken backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from eventsource_upstash import Memory
from eventsource_upstash.backends.memory.views import MemoryViews
from eventsource_upstash.ports import Backend, Capabilities, Log, Views
from eventsource_upstash.testing import BackendWrapper, LogContract, PromisesContract, ReactorsContract, ViewsContract
from eventsource_upstash.testing.conformance import Contract, FreeNotificationsContract, NotificationsContract
from tests.conformance import broken_builds as builds
from tests.conformance import broken_entries as entries
from tests.conformance import broken_log as logs
from tests.conformance import broken_notifying as notifying
from tests.conformance import broken_queries as queries
from tests.conformance import broken_repeats as repeats
from tests.conformance import broken_snapshots as snapshots
from tests.conformance import broken_views as views
from tests.conformance.broken_builds import BrokenMemory
from tests.conformance.broken_log import BrokenLog
from tests.conformance.broken_views import BrokenViews
from tests.conformance.separate import SeparateViews
from tests.stepping import broken_notices as notices
from tests.stepping.broken_notices import around
from tests.stepping.model import OwingMemory

T = TypeVar("T")


class Opened(Contract):
    """A contract over a backend that some function opens."""

    def __init__(self, opened: Callable[[Path], Backend], *, reopens: bool, beside: bool = True) -> None:
        # The guards differ in these.
        self.reopens = reopens  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.beside = beside  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self._opened = opened

    def open_backend(self, folder: Path) -> Backend:
        return self._opened(folder)


class Everything(Opened, FreeNotificationsContract, LogContract, ViewsContract, PromisesContract, ReactorsContract):
    """Every contract that a backend keeps whose notifications cost nothing."""


class Remembering(Opened, NotificationsContract):
    """The contract of a log whose notifications cost something."""


class Drawers:
    """Storage in memory that outlives the backend object, one per folder. What it loses, it loses on purpose."""

    def __init__(self, *, lost: str = "") -> None:
        self._lost = lost
        self._backends: dict[Path, Memory] = {}

    def __call__(self, folder: Path) -> Backend:
        kept = self._backends.setdefault(folder, Memory())
        if self._lost == "everything":
            return Memory()
        if self._lost == "keys":
            return BrokenLog(repeats.RemembersKeysItself, kept)
        if self._lost == "snapshots":
            return BrokenLog(snapshots.Keeping, kept)
        if self._lost == "tags":
            return BrokenLog(queries.RemembersTagsItself, kept)
        if self._lost == "views":
            return SeparateViews(kept, Memory())
        return BackendWrapper(kept)


class ClosesForGood(BackendWrapper):
    """Once it is closed, it is of no more use."""

    closed = False

    def close(self) -> None:
        self.closed = True

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if self.closed:
            raise ValueError(f"{call} on a closed backend")
        return await step()


LOGS: Final[dict[Callable[[Log], Log], tuple[str, ...]]] = {
    logs.DropsTheLastOfSeveral: (
        "test_all_events_of_an_append_are_written_in_their_order",
        "test_appends_to_one_stream_do_not_tear_each_other",
    ),
    logs.AnswersWithoutWriting: (
        "test_nothing_is_lost_of_what_an_append_returned_for",
        "test_a_log_is_used_from_several_threads_and_event_loops",
        "test_nothing_is_decided_twice_on_one_state",
    ),
    logs.WritesHalfOfALoser: ("test_a_conflict_writes_nothing",),
    logs.Reorders: (
        "test_all_events_of_an_append_are_written_in_their_order",
        "test_a_reactor_keeps_the_order_of_a_key_and_holds_up_no_other",
    ),
    logs.NeverGetsThrough: ("test_any_revision_will_do", "test_writers_who_try_again_all_get_through"),
    logs.IgnoresTheExpectedRevision: (
        "test_a_revision_is_expected",
        "test_no_stream_is_expected",
        "test_one_of_two_appends_wins_in_any_order_of_steps",
        "test_nothing_is_appended_past_a_revision_that_was_not_expected",
        "test_of_appends_that_expect_one_revision_one_wins",
    ),
    logs.TakesAnyRevisionForExisting: ("test_an_existing_stream_is_expected",),
    logs.ChecksTheRevisionOfTheLog: ("test_revisions_are_those_of_the_stream_and_not_of_the_log",),
    logs.AnswersTheFirstPosition: (
        "test_an_append_answers_its_last_position_and_the_new_revision",
        "test_an_append_answers_where_its_last_event_stands",
        "test_head_is_the_last_position",
    ),
    logs.HandsOutAPositionTwice: (
        "test_positions_increase_and_revisions_are_consecutive",
        "test_positions_and_revisions_grow_within_a_stream",
        "test_a_reader_is_never_overtaken",
    ),
    logs.CountsRevisionsOfTheLog: ("test_positions_increase_and_revisions_are_consecutive",),
    logs.ReadsInclusively: ("test_after_is_exclusive", "test_a_stream_is_read_after_a_revision"),
    logs.IgnoresTheLimit: ("test_a_page_has_at_most_so_many_events",),
    logs.IgnoresMaxBytes: (
        "test_a_page_ends_with_the_event_that_reaches_so_many_bytes",
        "test_a_page_of_a_stream_ends_with_the_event_that_reaches_so_many_bytes",
    ),
    logs.LeavesOutWhatIsTooLarge: (
        "test_a_page_holds_at_least_one_event_however_large",
        "test_a_page_of_a_stream_holds_at_least_one_event_however_large",
    ),
    logs.EndsAtAThousand: (
        "test_more_than_a_page_is_read_in_pages",
        "test_a_thousand_events_and_more_go_into_one_append",
    ),
    logs.SkipsAnEventBetweenPages: (
        "test_pages_put_together_are_the_log",
        "test_nothing_is_applied_out_of_order_in_pages_of_any_size",
        "test_nothing_is_lost_when_a_step_of_the_catch_up_fails",
    ),
    logs.TellsAnOldHead: ("test_head_is_the_last_position", "test_at_and_beyond_the_head_there_is_nothing"),
    logs.BeginsAtOne: ("test_an_empty_log",),
    logs.RaisesAtAnUnknownStream: ("test_a_stream_that_does_not_exist_has_no_events",),
    logs.TakesPayloadsForText: ("test_payloads_are_opaque_bytes",),
    logs.TakesMetadataForText: ("test_metadata_and_tags_are_bytes_or_none",),
    logs.KeepsMilliseconds: ("test_what_is_read_is_what_was_written",),
    logs.KeepsNumbersAsFloats: ("test_numbers_and_times_of_any_size_are_kept",),
    logs.FoldsNames: ("test_stream_names_are_kept_apart", "test_keys_are_told_apart_exactly"),
    repeats.ForgetsKeys: (
        "test_a_key_makes_an_append_repeatable",
        "test_nothing_is_appended_twice_under_one_key",
        "test_of_appends_under_one_key_one_is_written",
        "test_an_append_whose_answer_is_lost_is_repeated_in_any_order_of_steps",
        "test_a_reactor_decides_and_acts_once_although_another_worker_overtakes_it_at_any_step",
        "test_a_reactor_decides_and_acts_once_although_workers_die_and_answers_are_lost_at_any_step",
    ),
    repeats.CannotRecall: ("test_recall_answers_what_the_append_answered",),
    repeats.KeepsKeysPerStream: ("test_a_key_used_for_another_stream_is_refused",),
    repeats.TakesAnyDigest: ("test_a_key_with_another_digest_is_refused",),
    repeats.LooksAtTheRevisionFirst: ("test_a_key_is_looked_at_before_the_revision",),
    repeats.KeepsTheKeyOfALoser: ("test_a_key_that_wrote_nothing_is_not_kept",),
    repeats.KnowsNoRepeat: ("test_the_same_append_again_is_answered_and_not_written",),
    repeats.LooksForRepeatsAtTheEnd: ("test_the_same_append_is_known_behind_later_ones",),
    repeats.KnowsRepeatsByTheFirstEvent: (
        "test_an_append_cut_short_is_no_repeat",
        "test_another_append_is_no_repeat",
    ),
    repeats.KnowsRepeatsOfAPageOnly: ("test_an_append_of_more_than_a_page_is_known_too",),
    repeats.CarriesNoNews: ("test_a_conflict_carries_what_was_missed",),
    repeats.CarriesNewsToTheFuture: ("test_a_conflict_with_the_future_has_missed_nothing",),
    repeats.SaysThatItCarriesAll: (
        "test_a_conflict_carries_at_most_a_page_of_bytes",
        "test_a_conflict_carries_at_most_a_page_of_events",
    ),
    snapshots.KeepsNone: ("test_a_snapshot_is_kept_with_the_append", "test_a_later_snapshot_stays"),
    snapshots.KeepsOnePerStream: ("test_a_snapshot_is_found_under_its_name_only",),
    snapshots.KeepsOnePerName: ("test_snapshots_of_streams_are_kept_apart",),
    snapshots.TakesSnapshotsForText: ("test_snapshots_are_opaque_bytes",),
    snapshots.KeepsTheSnapshotOfALoser: ("test_an_append_that_writes_nothing_keeps_no_snapshot",),
    snapshots.KeepsTheLaterOneOnAppend: ("test_an_append_keeps_its_snapshot_instead_of_any_other",),
    snapshots.AnswersASnapshotAlways: ("test_a_snapshot_is_found_only_when_it_is_asked_for",),
    snapshots.GoesBackToTheSnapshot: ("test_a_snapshot_is_of_a_revision_above_the_one_asked_for",),
    snapshots.FindsSnapshotsBeyondTheStream: ("test_a_snapshot_beyond_its_stream_is_not_found",),
    snapshots.ReadsTheSnapshotsEventsToo: ("test_a_snapshot_is_kept_with_the_append",),
    snapshots.CountsTheSnapshotToThePage: ("test_events_after_a_snapshot_are_bounded",),
    snapshots.KeepsTheLastOne: ("test_a_later_snapshot_stays",),
    snapshots.IsHeldUpByOneBeyondTheStream: ("test_a_snapshot_beyond_its_stream_is_not_found",),
    snapshots.KeepsItAfterwards: ("test_a_snapshot_comes_with_its_events_in_any_order_of_steps",),
    notifying.NeverOwes: ("test_every_append_owes_a_notification",),
    notifying.BelievesThePosition: ("test_settle_answers_the_head",),
    notifying.NotesItInTheLog: ("test_neither_settle_nor_withdraw_changes_an_event",),
    logs.CostsSomething: ("test_every_operation_has_a_price", "test_loading_and_executing_have_a_price"),
    logs.LooksAndThenWrites: ("test_one_of_two_appends_wins_in_any_order_of_steps",),
    logs.ShowsALaterOneFirst: ("test_a_reader_is_never_overtaken_in_any_order_of_steps",),
}

QUERIES: Final[dict[Callable[[Log], Log], tuple[str, ...]]] = {
    queries.FindsWhateverIsThere: ("test_a_query_finds_events_by_type", "test_a_query_that_no_event_matches"),
    queries.FindsByTagOnly: ("test_a_query_finds_events_by_type", "test_types_that_look_alike_are_kept_apart"),
    queries.FindsByTypeOnly: ("test_a_query_finds_events_that_have_all_of_its_tags",),
    queries.FindsAnyOfTheTags: ("test_a_query_finds_events_that_have_all_of_its_tags",),
    queries.FindsEitherTypeOrTag: ("test_of_an_item_both_a_type_and_all_tags_have_to_match",),
    queries.FindsByTheFirstItem: ("test_an_event_is_found_by_any_of_the_items_and_once",),
    queries.FindsOncePerItem: ("test_an_event_is_found_by_any_of_the_items_and_once",),
    queries.FindsItemByItem: ("test_an_event_is_found_by_any_of_the_items_and_once",),
    queries.FindsNothingForAnEmptyItem: ("test_the_query_that_every_event_matches",),
    queries.FindsOneAtLeast: ("test_a_query_that_no_event_matches",),
    queries.FindsUnderOneNameSpace: ("test_a_type_is_no_tag",),
    queries.FindsWhatLooksAlike: (
        "test_tags_that_look_alike_are_kept_apart",
        "test_types_that_look_alike_are_kept_apart",
    ),
    queries.FindsTheFirstThousand: ("test_more_events_than_a_page_are_found",),
    queries.FindsInclusively: ("test_a_query_is_read_after_a_position",),
    queries.FindsWithoutBounds: ("test_a_page_of_a_query_is_bounded",),
    queries.SaysThatItHasReachedTheHead: ("test_pages_of_a_query_put_together_are_what_it_means",),
    queries.TagsAllAlike: ("test_events_of_one_append_have_tags_of_their_own",),
    queries.DropsTags: ("test_a_query_finds_events_that_have_all_of_its_tags",),
    queries.IgnoresConditions: (
        "test_an_event_that_a_condition_excludes_keeps_the_append_out",
        "test_of_appends_under_one_condition_one_wins",
    ),
    queries.ForgetsThePosition: (
        "test_an_append_whose_condition_is_met_is_written",
        "test_events_up_to_the_position_of_a_condition_let_it_in",
    ),
    queries.CountsThePositionItself: ("test_events_up_to_the_position_of_a_condition_let_it_in",),
    queries.TakesNoPositionForTheHead: ("test_an_event_that_a_condition_excludes_keeps_the_append_out",),
    queries.TakesAnyEventForExcluded: ("test_events_that_a_condition_does_not_mean_let_it_in",),
    queries.CountsTheStreamOnly: ("test_a_condition_counts_the_events_of_every_stream",),
    queries.NamesTheHead: ("test_an_event_that_a_condition_excludes_keeps_the_append_out",),
    queries.LooksAtTheConditionFirst: ("test_the_revision_is_looked_at_before_the_condition",),
    queries.LooksAtTheKeyLast: ("test_a_key_is_looked_at_before_the_condition",),
    queries.WritesTheUnmet: ("test_an_event_that_a_condition_excludes_keeps_the_append_out",),
    queries.KeepsTheKeyOfTheUnmet: ("test_a_key_whose_condition_was_not_met_is_not_kept",),
    queries.KnowsNoRepeatOfADecision: (
        "test_an_append_sent_again_is_not_kept_out_by_its_own_events",
        "test_a_decision_whose_answer_is_lost_takes_effect_once_in_any_order_of_steps",
    ),
    queries.KnowsTheLatestDecisionOnly: ("test_an_append_sent_again_is_known_behind_later_ones",),
    queries.TakesAnyDecisionForARepeat: ("test_another_append_is_kept_out_and_no_repeat",),
    queries.LooksAndThenDecides: ("test_one_of_two_decisions_on_the_same_events_wins_in_any_order_of_steps",),
}

VIEWS: Final[Mapping[Callable[[Views], Views], tuple[str, ...]]] = {
    views.IgnoresTheCheckpoint: (
        "test_mismatch",
        "test_of_commits_from_one_checkpoint_one_is_written",
        "test_one_of_two_commits_wins_in_any_order_of_steps",
        "test_nothing_is_applied_twice_by_several_who_rebuild",
        "test_a_reactor_decides_and_acts_once_although_another_worker_overtakes_it_at_any_step",
    ),
    views.IgnoresTheGeneration: ("test_superseded",),
    views.NeverDeletes: (
        "test_a_commit_deletes_documents",
        "test_a_reactor_sets_a_key_aside_until_it_is_retried_or_given_up",
    ),
    views.DeletesByWritingNothing: (
        "test_a_commit_deletes_documents",
        "test_nothing_is_lost_of_what_changed",
    ),
    views.DropsADocument: ("test_more_than_a_thousand_documents_go_into_one_commit",),
    views.TakesDocumentsForText: ("test_documents_are_opaque_bytes",),
    views.ForgetsNotes: (
        "test_notes_are_kept_until_a_commit_says_otherwise",
        "test_notes_are_written_without_moving",
        "test_nothing_is_lost_when_a_handler_fails",
        "test_nothing_is_lost_of_what_is_parked",
        "test_nothing_is_lost_when_one_event_makes_a_commit_too_large",
        "test_a_reactor_passes_over_what_cannot_be_done_and_notes_it",
        "test_a_reactor_stops_at_what_cannot_be_done_and_views_go_on",
    ),
    views.KeepsOldNotes: ("test_notes_are_kept_until_a_commit_says_otherwise",),
    views.OneViewForAllVersions: (
        "test_versions_of_a_projection_have_views_of_their_own",
        "test_nothing_is_lost_between_two_versions_side_by_side",
    ),
    views.SkipsACommitWithoutDocuments: ("test_a_commit_without_documents_moves_the_checkpoint",),
    views.SaysCommittedAndDoesNothing: (
        "test_committed",
        "test_nothing_is_lost_when_no_notification_arrives",
        "test_a_commit_writes_documents_and_checkpoint",
        "test_a_view_is_built_by_pulling_and_committing",
        "test_nothing_is_applied_twice_by_notifications_that_come_again",
        "test_nothing_is_applied_twice_or_out_of_order_by_many_projectors",
        "test_nothing_is_applied_twice_when_the_answer_of_a_commit_is_lost",
        "test_nothing_is_applied_twice_while_others_append",
        "test_projections_are_committed_side_by_side",
        "test_views_are_used_from_several_threads_and_event_loops",
    ),
    views.SaysCommittedToLosers: (
        "test_already_there",
        "test_ahead",
        "test_a_reactor_decides_and_acts_once_although_another_worker_overtakes_it_at_any_step",
    ),
    views.KnowsOneWayToLose: ("test_already_there", "test_ahead"),
    views.LeaksTheDocumentsOfLosers: ("test_ahead", "test_mismatch", "test_sending_a_commit_again_is_safe"),
    views.LeaksTheNotesOfLosers: ("test_ahead", "test_mismatch"),
    views.OneLoserHoldsUpAll: ("test_commits_of_one_call_stand_for_themselves",),
    views.PullsBeforeItCommits: ("test_what_comes_next_is_pulled_after_the_commit",),
    views.ForgetsWhoIsToPull: ("test_what_comes_next_is_pulled_after_the_commit",),
    views.PullsWhatNobodyAskedFor: ("test_committed",),
    views.KnowsTheFrontOnly: ("test_the_front_is_the_highest_checkpoint_below_the_head",),
    views.PullsAPageTooEarly: ("test_the_page_follows_the_checkpoint", "test_when_all_are_there_nothing_is_pulled"),
    views.PullsWithoutBounds: ("test_a_pulled_page_is_bounded",),
    views.BeginsAtTheHead: (
        "test_a_projection_never_seen_starts_at_the_beginning",
        "test_nothing_is_lost_when_the_process_ends_before_the_fold",
        "test_nothing_is_lost_for_a_projection_that_is_added_later",
        "test_nothing_is_lost_of_a_type_that_is_not_known_yet",
        "test_a_reactor_does_not_react_to_what_was_before_it_counts",
    ),
    views.NamesNoPositionBeforeTheFirst: ("test_an_empty_log_has_nothing_to_pull",),
    views.AnswersInOrderOfNames: ("test_progress_is_answered_in_the_order_asked",),
    views.LeavesOutTheUnseen: (
        "test_a_projection_never_seen_is_at_zero",
        "test_a_commit_is_seen_whole_or_not_at_all",
    ),
    views.FindsEverything: ("test_documents_are_found_by_key", "test_a_view_never_written_is_empty"),
    views.FindsAHundred: ("test_many_documents_are_found_at_once",),
    views.ItemsInOrderOfUtf16: ("test_items_are_in_order_of_the_keys_characters",),
    views.ItemsInclusive: ("test_items_come_after_a_key",),
    views.ItemsWithoutBounds: ("test_items_are_bounded",),
    views.ItemsInOnePage: (
        "test_pages_put_together_are_the_view",
        "test_a_reactor_acts_on_everything_that_a_worker_left_over",
    ),
    views.ItemsWithoutEnd: ("test_pages_put_together_are_the_view", "test_a_view_never_written_is_empty"),
    views.CountsWhatWasWritten: ("test_count",),
    views.NeverEmpty: ("test_a_view_never_written_is_empty",),
    views.LoadsForTheFirst: ("test_documents_of_several_projections_are_loaded_at_once",),
    views.TakesTheLastOfAProjection: ("test_commits_of_one_projection_are_taken_in_their_order",),
    views.SkipsWhatGoesBack: ("test_a_view_is_never_taken_back",),
    views.ListsNewOnesOnly: (
        "test_new_documents_are_listed_and_counted_whether_they_are_named_or_not",
        "test_nothing_is_lost_when_a_page_makes_a_commit_too_large",
    ),
    views.LooksAndThenCommits: ("test_one_of_two_commits_wins_in_any_order_of_steps",),
    views.CommitsInTwoSteps: (
        "test_a_checkpoint_is_never_ahead_of_its_documents_in_any_order_of_steps",
        "test_a_commit_whose_answer_is_lost_is_sent_again_in_any_order_of_steps",
    ),
    views.WritesDocumentsOneByOne: ("test_a_checkpoint_is_never_ahead_of_its_documents_in_any_order_of_steps",),
    builds.BeginsWithTheOneThereIs: ("test_a_build_begins_beside_one_that_nothing_was_written_to",),
    builds.AlwaysBeginsAnew: ("test_who_begins_joins_the_build_that_is_building",),
    builds.PullsForThoseThatServe: (
        "test_the_page_is_that_of_a_build_that_is_behind",
        "test_a_build_that_is_aside_has_no_page",
    ),
    builds.PullsForAll: ("test_a_pull_for_those_that_serve_has_no_page_for_one_that_is_building",),
    builds.PutsNobodyAside: ("test_a_build_that_is_aside_has_no_page",),
    builds.AnswersTheNewestFirst: ("test_a_pull_answers_the_build_that_serves_and_then_the_one_that_is_building",),
    builds.KnowsTwoBuilds: ("test_progress_is_that_of_each_build",),
    builds.TellsNothingOfWhatIsRead: ("test_what_is_read_says_how_far_its_build_is",),
    builds.CannotGoBack: (
        "test_a_build_that_is_kept_serves_again",
        "test_a_rebuild_is_told_from_beginning_to_end_and_can_be_taken_back",
    ),
    builds.GoesBackOnce: ("test_going_back_is_repeatable",),
    builds.GoesBackWhateverServes: ("test_going_back_takes_effect_only_if_the_builds_are_what_is_said",),
    builds.FreezesWhatServesAgain: ("test_a_build_that_serves_again_is_folded_on",),
    builds.DropsWithoutBounds: ("test_a_build_is_dropped_in_parts",),
    builds.DropsWhateverItIsTold: ("test_the_build_that_serves_is_dropped_only_if_that_is_said",),
    builds.MissesWhatIsGone: (
        "test_a_build_that_is_not_there_is_gone",
        "test_two_drop_one_build_in_any_order_of_steps",
    ),
    builds.ReadsInTwoSteps: ("test_a_reader_sees_one_build_at_one_moment_in_any_order_of_steps",),
    entries.LoadsNoEntries: ("test_entries_are_loaded_with_their_documents",),
    entries.LoadsEmptyEntries: ("test_entries_are_loaded_with_their_documents",),
    entries.NeverTakesFromAnIndex: ("test_entries_change_with_their_documents",),
    entries.SkipsWhatStaysTheSame: ("test_entries_change_though_the_document_stays_the_same",),
    entries.KnowsOneIndex: ("test_a_document_stands_in_several_indexes",),
    entries.IndexesAThousand: ("test_more_than_a_thousand_documents_stand_in_an_index",),
    entries.CountsWithoutBounds: (
        "test_the_bounds_of_a_span_are_part_of_it",
        "test_numbers_and_strings_never_meet",
    ),
    entries.CountsTheKeyItself: ("test_what_comes_before_a_key_is_counted_of_the_highest_value_alone",),
    entries.RanksFromOne: ("test_equal_values_are_found_in_order_of_their_keys",),
    entries.RanksEverybody: ("test_documents_without_entries_are_in_no_index",),
    entries.FindsDocumentsWithoutBounds: ("test_what_is_found_is_bounded",),
    entries.FindsOnePage: ("test_pages_put_together_are_the_span",),
    entries.FindsWithoutEnd: ("test_what_is_found_is_bounded",),
    entries.NamesTheLastDocumentOnly: ("test_pages_put_together_are_the_span",),
    entries.GoesOnWithTheSameValue: ("test_what_is_found_comes_after_a_place",),
    entries.CountsTheEnded: ("test_a_document_is_absent_from_its_end_on",),
    entries.RanksTheEnded: ("test_a_document_is_absent_from_its_end_on",),
    entries.GivesNoEndInThePast: ("test_an_end_in_the_past_has_come",),
    entries.KeepsTheFirstEnd: (
        "test_an_end_changes_with_its_document",
        "test_a_document_that_ended_is_put_again",
    ),
    entries.EndsWhatIsIndexed: ("test_an_end_needs_no_index",),
    entries.StopsWhereAllHaveEnded: ("test_pages_lead_on_over_documents_that_have_ended",),
    entries.ListsTheEndedByKey: ("test_documents_that_have_ended_are_listed_to_be_deleted",),
    entries.ListsWhatEndedOnce: (
        "test_documents_that_have_ended_are_listed_to_be_deleted",
        "test_a_document_that_ended_is_put_again",
    ),
    entries.KeepsRecordsOfDocumentsOnly: ("test_records_are_written_with_the_documents",),
    entries.TakesRecordsForText: ("test_records_are_opaque_bytes",),
    entries.TakesRecordsForDocuments: ("test_records_are_no_documents",),
    entries.KeepsAllRecordsInOnePlace: ("test_projections_have_records_of_their_own",),
    entries.EndsRecordsToo: ("test_records_do_not_end",),
    entries.ReadsOldWhenItHasToBeFresh: (
        "test_what_has_to_be_fresh_is_as_of_the_last_commit",
        "test_a_strong_read_needs_nobody_who_folds",
        "test_nothing_is_lost_for_a_reader_who_asks_for_a_position",
    ),
    views.SendsAgainByItself: ("test_committed", "test_of_commits_from_one_checkpoint_one_is_written"),
}

MEMORIES: Final[Mapping[type[MemoryViews], tuple[str, ...]]] = {
    builds.BeginsByItself: ("test_a_view_has_one_build_to_begin_with",),
    builds.CopiesWhatServes: (
        "test_another_build_begins_beside_the_one_that_serves",
        "test_a_build_begins_once_in_any_order_of_steps",
        "test_nothing_is_lost_in_a_rebuild_while_events_go_on",
    ),
    builds.UsesGenerationsAgain: ("test_a_generation_is_never_used_again",),
    builds.KeepsAllBuildsInOnePlace: (
        "test_builds_are_committed_side_by_side",
        "test_documents_of_several_builds_are_loaded_at_once",
        "test_views_and_builds_have_indexes_of_their_own",
    ),
    builds.FoldsWhatIsKept: ("test_a_commit_to_a_build_that_is_not_folded_is_superseded",),
    builds.CountsNoEditions: (
        "test_a_commit_that_stays_makes_another_edition",
        "test_of_two_commits_that_stay_one_takes_effect",
        "test_of_two_commits_that_stay_one_wins_in_any_order_of_steps",
    ),
    builds.CountsEditionsOn: ("test_a_commit_that_stays_makes_another_edition",),
    builds.ForgetsTheMeeting: ("test_a_build_that_reaches_the_head_has_met_it",),
    builds.BelievesTheCallersHead: (
        "test_the_head_is_that_of_the_log_beside_or_what_the_commit_says",
        "test_a_build_that_is_behind_the_one_that_serves_does_not_take_its_place",
    ),
    builds.SwitchesTooEarly: ("test_a_build_that_has_met_the_head_takes_the_place_of_the_one_that_serves",),
    builds.NeverSwitches: (
        "test_a_build_that_has_met_the_head_takes_the_place_of_the_one_that_serves",
        "test_a_build_is_switched_to_with_its_last_commit_in_any_order_of_steps",
        "test_a_build_takes_the_place_of_one_that_serves_again",
    ),
    builds.NeverLetsReadersGoBack: ("test_beside_its_log_a_build_takes_the_place_of_one_that_is_beyond_the_head",),
    builds.MeetsTheHeadByMoving: ("test_a_commit_that_stays_may_meet_the_head_too",),
    builds.ForgetsWhatWasKept: ("test_the_build_that_is_kept_stays_as_it_is",),
    builds.JudgesAllAtOnce: ("test_builds_that_meet_the_head_in_one_call_are_taken_in_their_order",),
    builds.LoadsWhatServes: ("test_documents_of_several_builds_are_loaded_at_once",),
    builds.GoesBackWithoutWhatIsBuilding: ("test_a_build_takes_the_place_of_one_that_serves_again",),
    builds.DropsByTheEnd: ("test_from_the_first_call_on_nobody_folds_or_goes_back_to_it",),
    builds.BeginsAnewWhereItWas: ("test_a_projection_whose_build_is_dropped_begins_anew",),
    builds.LeavesRecords: (
        "test_a_build_is_dropped_in_parts",
        "test_a_build_without_documents_is_dropped",
    ),
    builds.LooksAndThenBegins: ("test_a_build_begins_once_in_any_order_of_steps",),
    builds.LooksAndThenGoesBack: (
        "test_a_commit_meets_who_goes_back_in_any_order_of_steps",
        "test_the_switch_meets_who_goes_back_in_any_order_of_steps",
        "test_who_goes_back_meets_who_drops_in_any_order_of_steps",
    ),
    builds.JudgesAndThenWrites: (
        "test_a_build_is_switched_to_with_its_last_commit_in_any_order_of_steps",
        "test_nothing_is_left_of_a_build_that_is_dropped_in_any_order_of_steps",
        "test_a_commit_meets_a_view_that_begins_anew_in_any_order_of_steps",
    ),
    builds.LooksAndThenDrops: ("test_who_goes_back_meets_who_drops_in_any_order_of_steps",),
    entries.LeaksTheEntriesOfLosers: ("test_a_commit_that_lost_changes_no_index",),
    entries.TakesWhatWasBeforeTheCall: ("test_commits_of_one_call_leave_their_entries_in_their_order",),
    entries.OrdersNumbersByTheirDigits: ("test_numbers_are_found_in_their_order",),
    entries.OrdersByUtf16: ("test_strings_are_found_in_order_of_their_characters",),
    entries.OrdersKeysByUtf16: ("test_equal_values_are_found_in_order_of_their_keys",),
    entries.JoinsValueAndKey: ("test_a_value_and_its_key_are_told_apart",),
    entries.LeavesOutTheBounds: ("test_the_bounds_of_a_span_are_part_of_it",),
    entries.TakesStringsForNumbers: ("test_numbers_and_strings_never_meet",),
    entries.LooksForThePlace: ("test_a_place_stays_right_while_documents_change",),
    entries.EndsTooLate: (
        "test_a_document_is_absent_from_its_end_on",
        "test_what_has_ended_is_absent_from_everything_at_once",
    ),
    entries.LoadsNoneThatHasEnded: ("test_a_document_that_has_ended_is_still_loaded",),
    entries.LeaksTheRecordsOfLosers: ("test_a_commit_that_lost_writes_no_record",),
    entries.WritesRecordsBackwards: ("test_commits_of_one_call_leave_their_records_in_their_order",),
}

NOTIFYING: Final[Mapping[Callable[[Log], Log], tuple[str, ...]]] = {
    notifying.AlwaysOwes: (
        "test_while_one_is_outstanding_no_append_owes_another",
        "test_of_appends_at_once_one_owes",
    ),
    notifying.NeverOwes: ("test_it_is_settled_at_the_head",),
    notifying.LeavesItToWhoCannot: ("test_an_append_that_cannot_notify_owes_nothing",),
    notifying.RaisesBeforeItWrites: ("test_what_was_not_written_raises_nothing",),
    notifying.NeverSettles: (
        "test_it_is_settled_at_the_head",
        "test_a_pull_settles_when_everybody_is_at_the_head",
        "test_a_commit_settles_when_everybody_is_at_the_head",
    ),
    notifying.SettlesAnywhere: ("test_it_is_not_settled_below_the_head",),
    notices.NeverWithdraws: ("test_one_that_was_not_sent_is_withdrawn",),
    notifying.WithdrawsAnother: ("test_only_the_one_that_was_not_sent_is_withdrawn",),
    notices.WithdrawsWhatTheClockSays: ("test_one_that_an_append_owed_again_is_withdrawn",),
    notifying.NeverTakesItForLost: ("test_after_a_while_it_counts_as_lost",),
    notices.OwesOnceOnly: ("test_an_append_sent_again_owes_its_own_still",),
    notifying.OwesAnothersAgain: ("test_an_append_sent_again_does_not_owe_anothers",),
}

SETTLING: Final[Mapping[Callable[[Views, Log], Views], tuple[str, ...]]] = {
    notices.SettlesForAnybody: ("test_a_pull_settles_when_everybody_is_at_the_head",),
    notices.SettlesForThoseThatServe: ("test_a_build_that_can_go_on_and_is_behind_holds_it_up",),
    notices.AnswersTheHeadOfBefore: ("test_a_commit_settles_when_everybody_is_at_the_head",),
}


class DoesWhatItSaysItCannot(BackendWrapper):
    """A backend that says less of its log than it does."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            expected_revisions=False, conditions=False, streams=False, atomic_appends=False, lasting_keys=False
        )


class Guard:
    """A broken backend, and the tests that have to notice."""

    def __init__(self, name: str, everything: Opened, caught_by: tuple[str, ...]) -> None:
        self.name = name
        self.everything = everything
        self.caught_by = caught_by


def _with_log(broken: Callable[[Log], Log]) -> Everything:
    return Everything(lambda _: BrokenLog(broken), reopens=False)


def _with_views(broken: Callable[[Views], Views]) -> Everything:
    return Everything(lambda _: BrokenViews(broken), reopens=False)


def _with_memory(broken: type[MemoryViews]) -> Everything:
    return Everything(lambda _: BrokenMemory(broken), reopens=False)


def _remembering(broken: Callable[[Log], Log]) -> Remembering:
    return Remembering(lambda _: BrokenLog(broken, OwingMemory()), reopens=False)


def _settling(broken: Callable[[Views, Log], Views]) -> Remembering:
    return Remembering(lambda _: around(views=broken)(OwingMemory()), reopens=False)


def _name(broken: Callable[..., object]) -> str:
    return getattr(broken, "__name__", repr(broken))


GUARDS: Final = [
    *(Guard(_name(broken), _with_log(broken), caught_by) for broken, caught_by in (LOGS | QUERIES).items()),
    *(Guard(_name(broken), _with_views(broken), caught_by) for broken, caught_by in VIEWS.items()),
    *(Guard(_name(broken), _with_memory(broken), caught_by) for broken, caught_by in MEMORIES.items()),
    *(Guard(f"{_name(broken)} (remembering)", _remembering(broken), by) for broken, by in NOTIFYING.items()),
    *(Guard(_name(broken), _settling(broken), by) for broken, by in SETTLING.items()),
    Guard(
        "LosesEverythingWhenItIsReopened",
        Everything(Drawers(lost="everything"), reopens=True),
        (
            "test_everything_is_there_when_the_log_is_opened_again",
            "test_nothing_is_lost_of_what_an_append_returned_for",
            "test_two_logs_on_one_storage_are_one",
            "test_a_fresh_storage_is_opened_by_several_at_once",
        ),
    ),
    Guard(
        "LosesKeysWhenItIsReopened",
        Everything(Drawers(lost="keys"), reopens=True),
        (
            "test_keys_are_still_known_when_the_log_is_opened_again",
            "test_a_reactor_decides_and_acts_once_although_workers_die_and_answers_are_lost_at_any_step",
        ),
    ),
    Guard(
        "LosesSnapshotsWhenItIsReopened",
        Everything(Drawers(lost="snapshots"), reopens=True),
        ("test_snapshots_are_there_when_the_log_is_opened_again",),
    ),
    Guard(
        "LosesTagsWhenItIsReopened",
        Everything(Drawers(lost="tags"), reopens=True),
        ("test_events_are_found_when_the_log_is_opened_again",),
    ),
    Guard(
        "LosesViewsWhenItIsReopened",
        Everything(Drawers(lost="views"), reopens=True),
        (
            "test_everything_is_there_when_the_views_are_opened_again",
            "test_entries_are_there_when_the_views_are_opened_again",
            "test_records_and_notes_are_there_when_the_views_are_opened_again",
            "test_nothing_is_lost_when_the_process_ends_between_pages",
            "test_a_reactor_does_not_act_again_when_views_are_built_anew_and_storage_is_opened_again",
        ),
    ),
    Guard(
        "DoesWhatItSaysItCannot",
        Everything(lambda _: DoesWhatItSaysItCannot(Memory()), reopens=False),
        (
            "test_a_log_is_held_to_what_it_says_it_can",
            "test_what_a_log_cannot_do_it_refuses_and_writes_nothing",
        ),
    ),
    Guard(
        "ClosesForGood",
        Everything(lambda _: ClosesForGood(Memory()), reopens=False),
        ("test_a_closed_backend_opens_again_when_it_is_used",),
    ),
]

UNBROKEN: Final[Mapping[str, Opened]] = {
    "remembering": Remembering(lambda _: BrokenLog(lambda log: log, OwingMemory()), reopens=False),
    "remembering, wrapped": Remembering(lambda _: around()(OwingMemory()), reopens=False),
    "Memory": Everything(lambda _: Memory(), reopens=False),
    "wrapped": Everything(lambda _: BackendWrapper(Memory()), reopens=False),
    "reopened": Everything(Drawers(), reopens=True),
    "views elsewhere": Everything(lambda _: SeparateViews(Memory(), Memory()), reopens=False, beside=False),
}
"""Backends that keep every rule, opened as the guards are: what catches a guard is its fault, and not its wrapping."""
