"""The column of a problem: looked up only where a program asks for it.

The source map keeps lines alone, since it is made of every file at every start.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from podium.api.problems import Path, Problem

__all__ = ["Columns"]


class Columns:
    """Columns of the problems of one text."""

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\ufeff")
        self._lines = self._text.split("\n")
        self._documents: list[Any] = []
        self._error: Any = None
        try:
            # One after the other: those before an error count.
            for document in yaml.compose_all(self._text, Loader=_LOADER):
                self._documents.append(document)
        except yaml.MarkedYAMLError as error:
            self._error = error.problem_mark or error.context_mark
        except (yaml.YAMLError, ValueError, RecursionError):
            pass  # the problem says what is wrong; its column is that of the line's text

    def of(self, problem: Problem) -> int | None:
        """Return the 1-based column of a problem; None where it has no line.

        That of the key or list entry that its path leads to; else of its nearest parent on that
        line; else where the line's text begins.
        """
        if problem.line is None or problem.line > len(self._lines):
            return None
        for document in self._documents if problem.path else ():
            for mark in reversed(list(_marks(document, problem.path))):
                if mark.line == problem.line - 1:
                    return int(mark.column) + 1
        if self._error is not None and self._error.line == problem.line - 1:
            return _json_column(self._text, problem.line) or int(self._error.column) + 1
        line = self._lines[problem.line - 1]
        return len(line) - len(line.lstrip()) + 1


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _json_column(text: str, line: int) -> int | None:
    """Return the column of an error in what is meant as JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.colno if error.lineno == line else None
    except (ValueError, RecursionError):
        pass
    return None


def _marks(document: Any, path: Path) -> Iterator[Any]:
    """Give the marks along a path, from the top; of the items of a List each is tried."""
    yield document.start_mark
    found = list(_walk(document, path))
    yield from found
    if not found and isinstance(document, yaml.MappingNode):
        for key, value in document.value:
            if key.value == "items" and isinstance(value, yaml.SequenceNode):
                for item in value.value:
                    yield item.start_mark
                    yield from _walk(item, path)


def _walk(node: Any, path: Path) -> Iterator[Any]:
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == part), None)
            if pair is None:
                return
            yield pair[0].start_mark
            node = pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return
            node = node.value[part]
            yield node.start_mark
        else:
            return
