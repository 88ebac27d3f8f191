"""The rules of the quota, by given/when/then."""

from __future__ import annotations

import pytest

from eventsource_upstash.testing import given
from examples.quota.domain import (
    PLANS,
    Call,
    CallCounted,
    ChangePlan,
    Invalid,
    OverQuota,
    PlanChanged,
    Register,
    Remove,
    UnknownUser,
    UserExists,
    UserRegistered,
    UserRemoved,
    account,
)

ADA = UserRegistered("ada", "free")
NOVEMBER, DECEMBER = "2026-11", "2026-12"


def calls(units: int, month: str = NOVEMBER) -> CallCounted:
    return CallCounted("ada", "/v1/search", month, units)


def test_a_call_is_counted() -> None:
    given(account, ADA).when(Call("/v1/search", NOVEMBER)).then(calls(1))


def test_the_last_call_of_the_month_is_counted_and_the_next_one_is_refused() -> None:
    given(account, ADA, calls(PLANS["free"] - 1)).when(Call("/v1/search", NOVEMBER)).then(calls(1))
    given(account, ADA, calls(PLANS["free"])).when(Call("/v1/search", NOVEMBER)).then_raises(OverQuota)


def test_a_call_of_more_units_than_are_left_is_refused() -> None:
    given(account, ADA, calls(99)).when(Call("/v1/search", NOVEMBER, 2)).then_raises(OverQuota)


def test_the_next_month_begins_at_nought() -> None:
    given(account, ADA, calls(PLANS["free"])).when(Call("/v1/search", DECEMBER)).then(calls(1, DECEMBER))


def test_a_larger_plan_has_more_at_once() -> None:
    given(account, ADA, calls(100), PlanChanged("ada", "team")).when(Call("/v1/search", NOVEMBER)).then(calls(1))


def test_the_same_plan_again_is_nothing() -> None:
    given(account, ADA).when(ChangePlan("free")).then_nothing()


def test_who_was_removed_can_register_again() -> None:
    given(account, ADA, UserRemoved("ada")).when(Register("ada", "team")).then(UserRegistered("ada", "team"))


@pytest.mark.parametrize("command", [Call("/v1/search", NOVEMBER), ChangePlan("team"), Remove()])
def test_who_is_not_there_can_do_nothing(command: object) -> None:
    given(account).when(command).then_raises(UnknownUser)
    given(account, ADA, UserRemoved("ada")).when(command).then_raises(UnknownUser)


@pytest.mark.parametrize(
    ("before", "command", "error"),
    [
        ([ADA], Register("ada"), UserExists),
        ([], Register("Ada"), Invalid),
        ([], Register("ada", "gold"), Invalid),
        ([ADA], ChangePlan("gold"), Invalid),
        ([ADA], Call("search", NOVEMBER), Invalid),
        ([ADA], Call("/v1/search", NOVEMBER, 0), Invalid),
        ([ADA], Call("/v1/search", NOVEMBER, 1001), Invalid),
    ],
)
def test_what_cannot_be_is_refused(before: list[object], command: object, error: type[Exception]) -> None:
    given(account, *before).when(command).then_raises(error)
