"""Somebody who changes accounts and places orders at random, and sends again what was not answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tests.examples.accounts.history import Answered, Changed, Decided

Told = Mapping[str, Any]
Call = Callable[[str, str, str, object, str], "tuple[int, Told]"]
"""Has a function answer a request under an idempotency key: `(function, method, path, value, key)`."""


class Load:
    """One caller, one request after another.

    Attributes:
        answers: What was answered.
    """

    def __init__(self, call: Call, seed: int, done: Callable[[], object] = lambda: None) -> None:
        self._call = call
        self._seed = seed
        self._dice = random.Random(seed)
        self._done = done
        self.answers: list[Answered] = []

    def run(self, accounts: list[str], calls: int) -> None:
        for number in range(calls):
            account, key = self._dice.choice(accounts), f"{self._seed}-{number}"
            if self._dice.random() < 0.5:
                self._order(account, key)
            else:
                self._change(account, self._dice.choice(["activate", "suspend"]), key)
            self._done()

    def _order(self, account: str, key: str) -> None:
        wanted = {"account": account, "item": f"Item {key}", "quantity": 1}
        status, told = self._call("orders", "POST", "/orders", wanted, key)
        if status != 404:  # else nothing was decided: the order service does not know the account yet
            assert status in {201, 409}, told
            self.answers.append(Decided(told["id"], account, told["decision"]))

    def _change(self, account: str, command: str, key: str) -> None:
        path = f"/accounts/{account}/commands/{command}"
        status, told = self._call("commands", "PUT", path, {"reason": "Because"}, key)
        if status != 409:  # else the rules refused: nothing to suspend yet
            assert status == 200, told
            self.answers.append(Changed(account, told["status"], told["revision"]))


def open_accounts(call: Call, number: int) -> list[str]:
    return [str(call("commands", "POST", "/accounts", {"name": f"A{n}"}, f"a{n}")[1]["id"]) for n in range(number)]
