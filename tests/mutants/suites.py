"""What has to kill the mutants: tests that run in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """Tests, and what of them is left out: servers, processes, the other colour, what takes long.

    Attributes:
        name: Files of this suite are called so.
        paths: Files and folders of tests.
        without: Files of these folders that are left out.
        words: Words in the names of tests that are left out.
        upstash: Whether a local Upstash runs beside it.
    """

    name: str
    paths: list[str]
    without: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    upstash: bool = False

    @property
    def arguments(self) -> list[str]:
        """What pytest is given."""
        left_out = " and ".join(f"not {word}" for word in self.words)
        ignored = [f"--ignore={path}" for path in self.without]
        quiet = ["-q", "-p", "no:cacheprovider", "--capture=sys", "--timeout=0", "--no-header"]
        quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        return [*self.paths, *ignored, "-k", left_out, *quiet]

    def beside(self) -> AbstractContextManager[None]:
        """What has to run while it does."""
        return _local_upstash() if self.upstash else nullcontext()

    def jobs(self, wanted: int) -> int:
        """How many tests may run at once: one where they share a Redis, which is emptied before each."""
        return 1 if self.upstash else wanted

    def plugins(self) -> list[object]:
        """What pytest is given as well, once what runs beside it is there."""
        if not self.upstash:
            return [Examples()]
        from tests.mutants.beside import Emptied

        return [Examples(), Emptied()]


EMBEDDED = Suite(
    "embedded",
    [
        "tests/unit",
        "tests/properties",
        "tests/conformance/test_backends.py::TestMemory",
        "tests/conformance/test_limits.py",
        "tests/conformance/test_mailbox.py",
        "tests/conformance/test_many.py",
        "tests/stepping/test_scheduler.py",
        "tests/stepping/test_appends.py",
        "tests/scenarios",
        "tests/reactors",
        "tests/limits",
        "tests/personal",
        "tests/messages",
        "tests/views",
        "tests/copying",
        "tests/sharing",
        "tests/faults/test_failing_handlers.py",
        "tests/faults/test_log_contents.py",
        "tests/faults/test_rewound_log.py",
        "tests/faults/test_values.py",
        "tests/attacks/test_receiver.py",
        "tests/attacks/test_endpoints.py",
        "tests/sql/test_following.py",
        "tests/sql/test_other_log.py::test_what_a_sync_asks_of_the_log",
        "tests/kafka/test_app.py",
        "tests/kafka/test_capabilities.py",
        "tests/kafka/test_conformance.py",
        "tests/kafka/test_merging.py",
        "tests/kafka/test_reactors.py",
        "tests/kafka/test_trimmed.py",
        "tests/kafka/test_vectors.py",
        "tests/web",
        "tests/qstash/test_jobs.py",
        "tests/qstash/test_messages.py",
        "tests/qstash/test_reactors.py",
    ],
    [
        "tests/unit/test_mutants.py",
        "tests/reactors/test_kills.py",
        "tests/copying/test_command.py",
        "tests/limits/test_agreement.py",
    ],
    ["upstash", "broker", "async", "SQLite", "event-loop", "finds_a", "every_character", "runTest"],
)

UPSTASH = Suite(
    "upstash",
    [
        "tests/unit/test_http_replies.py",
        "tests/unit/test_http_sync_tokens.py",
        "tests/unit/test_logs.py",
        "tests/unit/test_redis_appends.py",
        "tests/unit/test_redis_commits.py",
        "tests/unit/test_redis_parts.py",
        "tests/unit/test_redis_reads.py",
        "tests/unit/test_redis_transport.py",
        "tests/unit/test_redis_views.py",
        "tests/redis/test_keys.py",
        "tests/redis/test_queries.py",
        "tests/redis/test_index.py",
        "tests/redis/test_snapshots.py",
        "tests/redis/test_partitions.py",
        "tests/redis/test_checking.py",
        "tests/redis/test_costs.py",
        "tests/redis/test_hostile_names.py",
        "tests/redis/test_reactors.py",
        "tests/redis/test_review.py",
        "tests/redis/test_traces.py",
        "tests/redis/test_views_costs.py",
        "tests/faults/transport/test_official.py",
        "tests/faults/transport/test_lost.py",
        "tests/limits",
        "tests/unit/test_connect.py",
        "tests/attacks/test_answers.py",
        "tests/redis/test_conformance.py::TestUpstashRedis",  # of its kinds the usual one: hundreds of tests each
    ],
    ["tests/limits/test_agreement.py"],
    [
        *("event-loop", "finds_a", "any_order", "any_step"),
        *(
            "different_frequency",
            "look_at_every_event",
            "less_than_it_has_seen",
            "answers_anything",
            "every_lie",
        ),  # slow
    ],
    upstash=True,
)


def suite_of(module: str) -> Suite:
    """The tests that a module's mutants are tried with."""
    return UPSTASH if module.startswith("backends/redis") else EMBEDDED


@contextmanager
def _local_upstash() -> Iterator[None]:
    from tests.mutants.beside import local_upstash  # for those who need one

    with local_upstash():
        yield


class Examples:
    """Properties with few examples, always the same; what falsifies one is not made smaller."""

    def pytest_sessionstart(self) -> None:
        from hypothesis import HealthCheck, Phase, settings  # after pytest, whose plugin it has

        settings.register_profile(
            "mutants",
            parent=settings(),
            phases=[Phase.explicit, Phase.generate],
            derandomize=True,
            database=None,
            max_examples=20,
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutants")
