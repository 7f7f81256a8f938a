"""Definition files: YAML or JSON, several documents, every problem with its line.

`read_file` and `read_text` give what is there together with all that is wrong with it;
`load_file` and `load_text` raise `InvalidError` if anything is. Objects of other kinds (a
ConfigMap beside a Workflow) are kept as they are. `parse` is the part for objects that come from
no file.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from podium.api import names, seed
from podium.api.messages import given
from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.resources import Workflow
from podium.api.source.documents import Document, File, Resource
from podium.api.source.resource_parser import parse_document
from podium.api.source.source_map import (
    MAX_BYTES,
    ParsedDocument,
    SourceMap,
    decode,
    read,
    too_large,
)

__all__ = [
    "Document",
    "File",
    "Resource",
    "load_file",
    "load_text",
    "parse",
    "read_file",
    "read_text",
]


def load_file(path: str | FilePath) -> list[Document]:
    """Read a file, `-` for standard input. Raises `InvalidError` with all its problems."""
    return _sound(read_file(path))


def load_text(text: str | bytes, name: str = "") -> list[Document]:
    """Read a string. Raises `InvalidError` with all its problems."""
    return _sound(read_text(text, name))


def _sound(file: File) -> list[Document]:
    if errors(file.problems):
        raise InvalidError(file.problems)
    return file.documents


def read_file(path: str | FilePath) -> File:
    """Read a file, `-` for standard input. What is wrong, a missing file too, is in `problems`."""
    if str(path) == "-":
        return read_text(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
    name = str(path)
    try:
        with FilePath(path).open("rb") as stream:
            size = FilePath(path).stat().st_size
            if size > MAX_BYTES:
                return File(name, problems=[Problem((), too_large(size), file=name)])
            return read_text(stream.read(MAX_BYTES + 1), name)
    except FileNotFoundError:
        message = "no such file"
    except IsADirectoryError:
        message = "is a directory: name a file in it"
    except PermissionError:
        message = "may not be read: permission denied"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return File(name, problems=[Problem((), message, file=name)])


def read_text(text: str | bytes, name: str = "") -> File:
    """Read a string. Never raises: what is wrong is in `problems`."""
    file = File(name)
    try:
        if isinstance(text, bytes):
            text = decode(text, name)
        found = read(text, name)
    except InvalidError as error:
        file.problems = error.problems
        return file
    others = []
    for data, source_map in _objects(found):
        if not isinstance(data, dict):
            message = f"must be a mapping with apiVersion, kind, metadata, spec, not {given(data)}"
            file.problems.append(Problem((), message, line=source_map.line, file=name))
            continue
        document = Document(name, data, source_map, is_seed=seed.is_seed(data))
        file.documents.append(document)
        problems = parse_document(document)
        file.problems += [_by_file(document, problem) for problem in problems]
        if document.resource is None and not problems:
            others.append(f"{data.get('kind')} of {data.get('apiVersion')}")
    file.problems += _twice(file)
    file.problems.sort(key=lambda problem: problem.line or 0)
    if not file.problems and len(others) == len(file.documents):
        file.problems.append(Problem((), _nothing(others), file=name))
    return file


def parse(raw: dict[str, Any]) -> Resource:
    """Read an object that comes from no file, its status left out. Raises `InvalidError`."""
    document = Document("", raw, SourceMap(0))
    try:
        problems = parse_document(document)
    except (TypeError, RecursionError):  # what orjson does not take: depth, surrogates, objects
        raise InvalidError([Problem((), "is not plain JSON of at most 100 levels")]) from None
    if problems:
        raise InvalidError([replace(problem, line=None, file=None) for problem in problems])
    if document.resource is None:
        raise InvalidError([Problem(("kind",), f"is not a kind of {names.API_VERSION}")])
    return document.resource


def _objects(found: list[ParsedDocument]) -> Iterator[tuple[Any, SourceMap]]:
    """Give the objects of all documents; `kind: List`, as kubectl prints several, is opened."""
    for each in found:
        data, source_map = each.data, each.source_map
        if data is None:
            continue
        if isinstance(data, dict) and data.get("kind") == "List" and data.get("apiVersion") == "v1":
            items, where = data.get("items"), source_map.find(("items",))[1]
            if isinstance(items, list) and where is not None and where.items is not None:
                yield from zip(items, where.items, strict=True)
                continue
        yield data, source_map


def _by_file(document: Document, problem: Problem) -> Problem:
    """Add the file; a line that is there says that the path is the file's already."""
    if problem.line is not None:
        return replace(problem, file=document.file)
    return document.located(problem)


def _nothing(others: list[str]) -> str:
    if not others:
        return "is empty: a definition file holds a Workflow, a WorkflowRun, or both"
    shown = ", ".join(others[:5])
    return f"holds no Workflow and no WorkflowRun of {names.API_VERSION}, only {shown}"[:300]


def _twice(file: File) -> Iterator[Problem]:
    """Refuse two objects of one kind and name, and two Workflows that one reference means."""
    first: dict[tuple[str, str, str], tuple[Document, Path]] = {}
    for document in file.documents:
        resource = document.resource
        if resource is None:
            continue
        called: dict[str, Path] = {}
        if resource.metadata.name:
            called[resource.metadata.name] = ("metadata", "name")
        if isinstance(resource, Workflow) and resource.spec.id is not None:
            called.setdefault(resource.spec.id, ("spec", "id"))
        for name, path in called.items():
            key = (document.kind, resource.metadata.namespace, name)
            earlier, place = first.setdefault(key, (document, path))
            if earlier is document:
                continue
            line = earlier.line_of(place)
            yield document.located(
                Problem(
                    path,
                    f"duplicate {document.kind} {name!r:.80}: the one on line {line} has this name"
                    " already; give each a name of its own",
                )
            )
            break
