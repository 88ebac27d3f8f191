"""The GraphQL schema is the one that clients of the to-do application know, to the letter."""

from __future__ import annotations

from graphql import build_schema, lexicographic_sort_schema, print_schema

from examples.todo.schema import schema

SDL = """
type Task { id: String! text: String! done: Boolean! }
type Query { list: [Task] }
type Mutation {
  createTask(text: String!): Task
  updateTask(id: String!, text: String!, done: Boolean!): Task
  deleteTask(id: String!): String
}
"""


def test_the_schema_is_exactly_this() -> None:
    printed = build_schema(schema.as_str())
    assert print_schema(lexicographic_sort_schema(printed)) == print_schema(
        lexicographic_sort_schema(build_schema(SDL))
    )
    assert '"""' not in schema.as_str()  # no descriptions either
