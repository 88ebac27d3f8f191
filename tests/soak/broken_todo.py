"""A to-do app that loses what it acknowledges, does things twice, and folds too little."""

from __future__ import annotations

import itertools
from dataclasses import replace

from examples.todo import domain, serve
from examples.todo.app import AsyncTodo, Done
from examples.todo.domain import Task, TaskCommand, TaskUpdated, UpdateTask, stream_of

turns = itertools.count(1)
folds = itertools.count(1)
honest = AsyncTodo.perform


async def perform(self: AsyncTodo, command: TaskCommand, key: str | None = None) -> Done:
    turn = next(turns) if isinstance(command, UpdateTask) else 1
    if isinstance(command, UpdateTask) and turn % 4 == 0:  # acknowledged, and nowhere
        return Done(Task(command.id, command.text or ""), await self.app.event_store.head())
    done = await honest(self, command, key)
    if isinstance(command, UpdateTask) and turn % 3 == 0:
        await self.app.event_store.append(stream_of(command), TaskUpdated(command.id, done.task.text, done.task.done))
    return done


def forgetful(task: Task, *, text: str, done: bool) -> Task:
    return task if next(folds) % 3 == 0 else replace(task, text=text, done=done)


if __name__ == "__main__":
    AsyncTodo.perform = perform
    # What its fold is written with; the write side's own folds name other fields.
    domain.replace = lambda obj, **changes: forgetful(obj, **changes) if "text" in changes else replace(obj, **changes)
    serve.main()
