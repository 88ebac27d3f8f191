"""Reminders: a message to oneself, that comes a day later.

reminder-set       somebody wants to be reminded
reminder-came      the time has come: from now on it is a notification
reminder-dropped   not needed any more, or seen
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from eventsource_upstash import Recorded, Send

from .rules import Unknown, checked_text, registry

JOB = "/workers/remind"
"""Where the message goes that lets a reminder come."""


# --8<-- [start:events]
@registry.event("reminder-set")
@dataclass(frozen=True)
class ReminderSet:
    id: str
    user: str
    text: str
    due: datetime


@registry.event("reminder-came")
@dataclass(frozen=True)
class ReminderCame:
    id: str


@registry.event("reminder-dropped")
@dataclass(frozen=True)
class ReminderDropped:
    id: str


# --8<-- [end:events]


# --8<-- [start:view]
@dataclass(frozen=True)
class Reminder:
    id: str
    user: str
    text: str
    due: datetime
    came_at: datetime | None = None


reminders = registry.projection("reminders", Reminder)
reminders.index("user", "user")


@reminders.on(ReminderSet, key="id")
def was_set(reminder: Reminder | None, event: ReminderSet) -> Reminder:
    return Reminder(event.id, event.user, event.text, event.due)


@reminders.on_recorded(ReminderCame, key=lambda event: event.id)
def came(reminder: Reminder | None, recorded: Recorded[ReminderCame]) -> Reminder | None:
    return reminder and replace(reminder, came_at=recorded.recorded_at)


@reminders.on(ReminderDropped, key="id")
def dropped(reminder: Reminder | None, event: ReminderDropped) -> None:
    return None


# --8<-- [end:view]


# --8<-- [start:reactor]
alarm = registry.reactor("alarm-clock")


@alarm.on(ReminderSet)
def wind_up(event: ReminderSet) -> Send:
    return Send(JOB, {"id": event.id}, not_before=event.due)


# --8<-- [end:reactor]


@dataclass(frozen=True)
class SetReminder:
    id: str
    user: str
    text: str
    due: datetime


@dataclass(frozen=True)
class Remind:
    id: str


@dataclass(frozen=True)
class DropReminder:
    id: str
    user: str


ReminderCommand = SetReminder | Remind | DropReminder


@dataclass(frozen=True)
class Course:
    """What the write side knows of one reminder."""

    user: str
    came: bool = False
    dropped: bool = False


course = registry.aggregate("reminder", Course)


@course.on(ReminderSet)
def began(state: Course | None, event: ReminderSet) -> Course:
    return Course(event.user)


@course.on(ReminderCame)
def has_come(state: Course | None, event: ReminderCame) -> Course | None:
    return state and replace(state, came=True)


@course.on(ReminderDropped)
def was_dropped(state: Course | None, event: ReminderDropped) -> Course | None:
    return state and replace(state, dropped=True)


@course.decide(SetReminder)
def set_reminder(state: Course | None, command: SetReminder) -> ReminderSet | None:
    if state is not None:
        return None  # the same request again
    return ReminderSet(command.id, command.user, checked_text(command.text, "reminder"), command.due)


# --8<-- [start:once]
@course.decide(Remind)
def remind(state: Course | None, command: Remind) -> ReminderCame | None:
    if state is None or state.came or state.dropped:
        return None  # delivered twice, or not wanted any more
    return ReminderCame(command.id)


# --8<-- [end:once]


@course.decide(DropReminder)
def drop(state: Course | None, command: DropReminder) -> ReminderDropped | None:
    if state is None or state.user != command.user:  # of other people's one does not even learn that they are there
        raise Unknown("There is no such reminder.")
    return None if state.dropped else ReminderDropped(command.id)


def stream_of(command: ReminderCommand) -> str:
    return f"reminder-{command.id}"
