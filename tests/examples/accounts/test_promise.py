"""No order of a suspended account, each decision once, nothing lost: while the functions are killed under load.

The functions are processes of their own over files. They are killed as `kill -9` does, at random moments, and started
again on the socket that they listened on.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from eventsource_upstash import Recorded, connect
from examples.accounts.domain import AccountActivated, AccountOpened, AccountSuspended, accounts, registry
from examples.accounts.orders import domain as orders
from examples.accounts.orders.domain import OrderAccepted, OrderRefused, StandingCameLate, StandingLearned
from examples.accounts.reactors import orders_context
from tests.examples.accounts.history import Answered, Changed, Decided, recorded, violations
from tests.examples.accounts.load import Load, Told, open_accounts

ROOT = Path(__file__).parents[3]

ACCOUNTS = 4
CALLERS = 3
CALLS = 40
"""Of each caller."""

KILLS = 6


class Service:
    """One function, served; it can be killed and started again, and its callers only wait."""

    def __init__(self, name: str, errors: Path) -> None:
        self.name = name
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.errors = errors

    def start(self, variables: dict[str, str]) -> None:
        with self.errors.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.accounts.function", self.name, "--fd", str(self.listener.fileno())],
                cwd=ROOT,
                env={**os.environ, **variables},
                pass_fds=[self.listener.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


class Services:
    """The three functions that write, over two files."""

    def __init__(self, folder: Path) -> None:
        self.backends = {
            "ACCOUNTS_BACKEND": f"sqlite:{folder / 'accounts.db'}",
            "ORDERS_BACKEND": f"sqlite:{folder / 'orders.db'}",
        }
        self.all = {name: Service(name, folder / "errors.txt") for name in ("commands", "processor", "orders")}
        self.variables = {**self.backends, "ORDERS_URL": self.all["orders"].url}
        self.http = httpx.Client(timeout=60, trust_env=False)

    def __enter__(self) -> Services:
        for service in self.all.values():
            service.start(self.variables)
        return self

    def __exit__(self, *error: object) -> None:
        for service in self.all.values():
            service.kill()
            service.listener.close()
        self.http.close()

    def strike(self, name: str) -> None:
        self.all[name].kill()
        self.all[name].start(self.variables)

    def call(self, name: str, method: str, path: str, value: object, key: str) -> tuple[int, Told]:
        """Send a request until it is answered; whoever died meanwhile may have done it, and the key makes that safe."""
        while True:
            try:
                reply = self.http.request(
                    method, f"{self.all[name].url}{path}", json=value, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                continue
            if reply.status_code != 503:
                return reply.status_code, reply.json()


@contextmanager
def an_hour_later(services: Services) -> Iterator[None]:
    """Whatever somebody was killed at is done: a delivery in hand is another's after its lease, a failed one due again.

    The order service is still there. The processor is here, and looks at its files when all that is due.
    """
    for name in ("commands", "processor"):
        services.all[name].kill()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_URL", services.all["orders"].url)
        yield


def orders_log(backend: str) -> list[Recorded[object]]:
    with connect(backend, orders.registry) as app:
        return list(app.event_store.read())


def test_functions_that_are_killed_under_load(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  shown when it fails
    dice = random.Random(seed)
    done = threading.Semaphore(0)
    with Services(tmp_path) as services, ThreadPoolExecutor(CALLERS) as pool:
        callers = [Load(services.call, seed + number, done.release) for number in range(CALLERS)]
        ids = open_accounts(services.call, ACCOUNTS)
        running = [pool.submit(caller.run, ids, CALLS) for caller in callers]
        for _ in range(KILLS):
            for _ in range(dice.randrange(2, CALLERS * CALLS // KILLS)):
                done.acquire()
            services.strike(dice.choice(list(services.all)))
        for each in running:
            each.result()
        with (
            an_hour_later(services),
            connect(
                services.backends["ACCOUNTS_BACKEND"], registry, clock=lambda: time.time_ns() + 3_600 * 10**9
            ) as app,
        ):
            app.projector.catch_up()
            assert app.reactions.status(orders_context).pending == 0
            while app.messages.deliver_due().next_due is not None:
                pass
            assert app.messages.dead() == []
            shown = {key: account.revision for key, account in app.projection_store.view(accounts).items()}
            log = list(app.event_store.read())
    answers = [answer for caller in callers for answer in caller.answers]
    assert violations(log, orders_log(services.backends["ORDERS_BACKEND"]), answers) == []
    assert shown == {each.stream.removeprefix("account-"): each.revision for each in log}
    assert {type(answer) for answer in answers} == {Changed, Decided}
    assert "Traceback" not in (tmp_path / "errors.txt").read_text()


GOOD_ACCOUNTS = (AccountOpened("a", "Tea"), AccountActivated("a"), AccountSuspended("a", "Because"))
LEARNED = (StandingLearned("a", "opened", 1), StandingLearned("a", "active", 2), StandingLearned("a", "suspended", 3))
GOOD_ORDERS = (
    *LEARNED[:2],
    OrderAccepted("1", "a", "Tea", 1),
    LEARNED[2],
    OrderRefused("2", "a", "Tea", 1, "suspended"),
)


def test_a_history_that_is_as_it_should_be() -> None:
    answers = [Changed("a", "suspended", 3), Decided("1", "a", "accepted"), Decided("2", "a", "refused")]
    assert violations(recorded(*GOOD_ACCOUNTS), recorded(*GOOD_ORDERS), answers) == []
    late = (LEARNED[0], LEARNED[2], StandingCameLate("a", "active", 2))
    assert violations(recorded(*GOOD_ACCOUNTS), recorded(*late), []) == []


@pytest.mark.parametrize(
    ("history", "answers", "told"),
    [
        ((*LEARNED, OrderAccepted("1", "a", "Tea", 1)), [], "accepted of an account that was ('suspended', 3)"),
        (
            (*LEARNED[:2], OrderRefused("1", "a", "Tea", 1, "x"), LEARNED[2]),
            [],
            "refused of an account that was active",
        ),
        ((*GOOD_ORDERS, OrderRefused("1", "a", "Tea", 1, "suspended")), [], "order 1 was decided 2 times"),
        (LEARNED[:2], [], "('a', 3, 'suspended') never arrived"),
        ((*LEARNED, StandingCameLate("a", "active", 2)), [], "recorded 2 times"),
        ((LEARNED[0], LEARNED[2], LEARNED[1]), [], "came after a later one"),
        ((*LEARNED, StandingLearned("a", "active", 4)), [], "arrived and never was"),
        (GOOD_ORDERS, [Decided("1", "a", "refused")], "is not in the log"),
        (GOOD_ORDERS, [Decided("3", "a", "accepted")], "is not in the log"),
        (GOOD_ORDERS, [Changed("a", "active", 3)], "is not in the log"),
    ],
)
def test_what_the_promise_forbids_is_found(history: tuple[object, ...], answers: list[Answered], told: str) -> None:
    (found,) = violations(recorded(*GOOD_ACCOUNTS), recorded(*history), answers)
    assert told in found
