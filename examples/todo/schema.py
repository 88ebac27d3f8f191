"""GraphQL: the schema, and how a request to it is answered. One schema serves blocking and async frameworks."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Protocol, TypeVar

import msgspec
import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaxTokensLimiter
from strawberry.types import ExecutionContext, ExecutionResult, Info

from eventsource_upstash import EventSourceError

from . import domain
from .app import AsyncTodo, Done, Todo

_log = logging.getLogger("todo")

T = TypeVar("T")
R = TypeVar("R")


class Service(Protocol):
    """What the resolvers call: `Todo` answers at once, `AsyncTodo` answers something to await."""

    def perform(self, command: domain.TaskCommand, key: str | None = None) -> Done | Awaitable[Done]: ...
    def tasks(self, at_least: int = 0) -> list[domain.Task] | Awaitable[list[domain.Task]]: ...


@strawberry.type
class Task:
    id: str
    text: str
    done: bool

    @staticmethod
    def of(task: domain.Task) -> Task:
        return Task(id=task.id, text=task.text, done=task.done)


TaskInfo = Info[Service, None]


@strawberry.type
class Query:
    @strawberry.field(name="list", graphql_type=list[Task | None] | None)
    def list_tasks(self, info: TaskInfo) -> list[Task] | Awaitable[list[Task]]:
        return then(info.context.tasks(), lambda tasks: [Task.of(task) for task in tasks])


@strawberry.type
class Mutation:
    @strawberry.mutation(graphql_type=Task | None)
    def create_task(self, info: TaskInfo, text: str) -> Task | Awaitable[Task]:
        command = domain.CreateTask(domain.new_id(), text)
        return then(info.context.perform(command), lambda done: Task.of(done.task))

    @strawberry.mutation(graphql_type=Task | None)
    def update_task(self, info: TaskInfo, id: str, text: str, done: bool) -> Task | Awaitable[Task]:
        command = domain.UpdateTask(id, text, done)
        return then(info.context.perform(command), lambda done: Task.of(done.task))

    @strawberry.mutation(graphql_type=str | None)
    def delete_task(self, info: TaskInfo, id: str) -> str | Awaitable[str]:
        return then(info.context.perform(domain.DeleteTask(id)), lambda done: done.task.id)


def then(value: T | Awaitable[T], use: Callable[[T], R]) -> R | Awaitable[R]:
    """Use a value now, or when it has been awaited."""
    if isawaitable(value):

        async def later(value: Awaitable[T]) -> R:
            return use(await value)

        return later(value)
    return use(value)


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """A refused command is an answer, not an incident; everything else is logged."""
        unexpected = [error for error in errors if error.original_error and not _is_answer(error.original_error)]
        super().process_errors(unexpected, execution_context)


schema = _Schema(query=Query, mutation=Mutation, extensions=[lambda: MaxTokensLimiter(2_000)])


class Operation(msgspec.Struct):
    """A GraphQL request as it comes, in JSON."""

    query: str
    variables: dict[str, object] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")


def execute(todo: Todo, operation: Operation) -> bytes:
    return answer(
        schema.execute_sync(
            operation.query,
            variable_values=operation.variables,
            context_value=todo,
            operation_name=operation.operation_name,
        )
    )


async def execute_async(todo: AsyncTodo, operation: Operation) -> bytes:
    result = await schema.execute(
        operation.query,
        variable_values=operation.variables,
        context_value=todo,
        operation_name=operation.operation_name,
    )
    return answer(result)


def answer(result: ExecutionResult) -> bytes:
    """The JSON of a result. What the person did not cause is named, but not told in detail."""
    document: dict[str, object] = {"data": result.data}
    if result.errors:
        document["errors"] = [_told(error) for error in result.errors]
    return json.dumps(document).encode()


def _told(error: GraphQLError) -> dict[str, object]:
    told: dict[str, object] = {**error.formatted}
    if error.original_error is not None and not _is_answer(error.original_error):
        told["message"] = "Something went wrong on the server."
    if isinstance(error.original_error, EventSourceError):
        told["message"] = "The to-do list cannot be reached at the moment. Please try again."
    return told


def _is_answer(error: Exception) -> bool:
    return isinstance(error, (domain.TaskError, GraphQLError))
