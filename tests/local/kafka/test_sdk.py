"""The official `@upstash/kafka`, unchanged, and the tutorial's requests, on Node: see `js/judge.mjs`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.local.kafka.conftest import Kafka
from tests.node import node, packages

JS = Path(__file__).parent / "js"


def test_the_official_sdk(kafka: Kafka, pytestconfig: pytest.Config) -> None:
    environment = {
        **os.environ,
        **kafka.half.environment(),
        "UPSTASH_KAFKA_REST_PASSWORD": kafka.login[1],
        "JUDGE_MODULES": str(packages(pytestconfig, JS)),
        "JUDGE_TOPIC": kafka.topic(),
        "JUDGE_WIDE": kafka.topic(3),
        "JUDGE_TUTORIAL": kafka.topic(),
    }
    # In one process: to start Node takes longer than all that it does here.
    done = subprocess.run(
        [node(), str(JS / "judge.mjs")], env=environment, check=False, capture_output=True, text=True, timeout=100
    )
    scenarios = re.findall(r"^  async (\w+)\(\)", (JS / "judge.mjs").read_text("utf-8"), re.MULTILINE)
    assert (done.returncode, done.stdout.split()) == (0, scenarios), done.stderr
    assert len(scenarios) > 5
    assert kafka.counted()["produced"] > 0


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (JS / "package-lock.json").read_text("utf-8")
