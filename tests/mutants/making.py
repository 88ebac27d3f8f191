"""The mutants of a module: mutmut's operators, applied inside of functions, without what says nothing of the tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_match, operator_string

from tests.mutants.mutant import SOURCE, Mutant

PARTS = ("domain", "_flow", "backends/redis")
"""What is mutated, each Python file of it."""

PROSE = re.compile(r"\w \S|\S \w")
LOGS = {"debug", "info", "warning", "error", "exception", "log"}


def mutants_of(module: str, root: Path = SOURCE) -> list[Mutant]:
    source = (root / module).read_bytes()
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    visitor = _Visitor(module, source)
    wrapper.visit(visitor)
    return visitor.mutants


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider)

    def __init__(self, module: str, source: bytes) -> None:
        super().__init__()
        self.mutants: list[Mutant] = []
        self._module = module
        self._source = source
        self._printer = cst.Module([])
        self._names: list[str] = []  # of what encloses: classes and functions
        self._functions: list[str] = []  # sources of the functions that enclose
        self._around: list[range] = []  # their lines
        self._statements: list[range] = []
        self._messages = 0  # how many that are read by people enclose this
        self._following: dict[cst.CSTNode, cst.CSTNode] = {}
        self._types: set[cst.CSTNode] = set()
        self._seen: Counter[tuple[str, str]] = Counter()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, (cst.Annotation, cst.Decorator, cst.Param, cst.Assert)):
            return False  # types; what runs when it is imported; what states types
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self._names.append(node.name.value)
        if isinstance(node, cst.FunctionDef):
            self._functions.append(self._text(node))
            place = self.get_metadata(PositionProvider, node)
            self._around.append(range(place.start.line, place.end.line + 1))
        if isinstance(node, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
            self._statements.append(self._lines(node))
        if _is_message(node):
            self._messages += 1
        if m.matches(node, m.Call(func=m.Name("cast"))):
            self._types.add(cst.ensure_type(node, cst.Call).args[0])
        if node in self._types or _is_documentation(node) or self._names[-1:] == ["__repr__"]:
            return False
        if self._functions:
            self._mutate(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, (cst.FunctionDef, cst.ClassDef)):
            self._names.pop()
        if isinstance(original_node, cst.FunctionDef):
            self._functions.pop()
            self._around.pop()
        if isinstance(original_node, (cst.BaseSmallStatement, cst.BaseCompoundStatement)) and not isinstance(
            original_node, cst.Assert
        ):
            self._statements.pop()
        if _is_message(original_node):
            self._messages -= 1

    def _mutate(self, node: cst.CSTNode) -> None:
        for replaced, new, where in self._changes(node):
            before, after = self._text(replaced), new if isinstance(new, str) else self._printer.code_for_node(new)
            function = ".".join(self._names)
            change = f"{where}{_short(before)} -> {_short(after)}"
            self._seen[function, change] += 1
            if self._seen[function, change] > 1:
                change += f" #{self._seen[function, change]}"
            span = self.get_metadata(ByteSpanPositionProvider, replaced)
            end = span.start + span.length
            if replaced in self._following:
                end = self.get_metadata(ByteSpanPositionProvider, self._following[replaced]).start
            elif isinstance(replaced, cst.Arg) and isinstance(replaced.comma, cst.Comma):
                end = self._source.index(b",", end) + 1
            # Only who comes into a case can tell that it is missing.
            lines = self._lines(replaced.body) if isinstance(replaced, cst.MatchCase) else self._statements[-1]
            here = self._functions[0], self._around[-1]
            self.mutants.append(Mutant(self._module, function, change, span.start, end, after, lines, *here))

    def _changes(self, node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode | str, str]]:
        """What is to be replaced by what, and where it stands."""
        for kind, operator in mutation_operators:
            if not isinstance(node, kind):
                continue
            if operator is operator_string and (self._messages or _is_prose(node)):
                continue
            if operator is operator_arg_removal:
                yield from self._arguments(node)
            elif operator is operator_match:
                yield from ((case, "", "") for case in node.cases if len(node.cases) > 1)
            else:
                yield from ((node, new, "") for new in operator(node))

    def _arguments(self, node: cst.Call) -> Iterator[tuple[cst.CSTNode, cst.CSTNode | str, str]]:
        """An argument that is None, or a named one that is missing.

        One that is missing from the middle fails at once, whoever calls it, and so does `isinstance(a, None)`.
        """
        if m.matches(node.func, m.Name("isinstance") | m.Name("len") | m.Name("super") | m.Name("cast")):
            return
        where = f"{_short(self._text(node.func))}(...): "
        for index, argument in enumerate(node.args):
            if argument.star or _is_prose(argument.value):
                continue
            if not m.matches(argument.value, m.Name("None")):
                yield argument.value, "None", where
            if argument.keyword is not None and not self._messages:
                if index + 1 < len(node.args):
                    self._following[argument] = node.args[index + 1]
                yield argument, "", where

    def _text(self, node: cst.CSTNode) -> str:
        span = self.get_metadata(ByteSpanPositionProvider, node)
        return self._source[span.start : span.start + span.length].decode()

    def _lines(self, node: cst.CSTNode) -> range:
        place = self.get_metadata(PositionProvider, node)
        last = place.end.line
        body = getattr(node, "body", None)
        if isinstance(node, cst.BaseCompoundStatement) and isinstance(body, cst.CSTNode):
            last = max(place.start.line, self.get_metadata(PositionProvider, body).start.line - 1)
        return range(place.start.line, last + 1)


def _is_message(node: cst.CSTNode) -> bool:
    """Whether this is for people: its words are no promise, though what it names is."""
    return isinstance(node, cst.Raise) or _is_log(node)


def _is_log(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return False
    logger = node.func.value
    return node.func.attr.value in LOGS and isinstance(logger, cst.Name) and logger.value.endswith("log")


def _is_prose(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.ConcatenatedString):
        return _is_prose(node.left) or _is_prose(node.right)
    if isinstance(node, cst.FormattedString):
        return False
    return isinstance(node, cst.SimpleString) and bool(PROSE.search(node.value))


def _is_documentation(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:70]} ... {text[-25:]}"
