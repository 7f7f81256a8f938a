"""Definition files: YAML or JSON, several documents, every problem with its line.

`read_file` and `read_text` give what is there together with all that is wrong with it;
`load_file` and `load_text` raise `InvalidError` if anything is. Objects of other kinds (a
ConfigMap beside a Workflow) are kept as they are. `parse` is the part for objects that come from
no file.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

import orjson
from pydantic import ValidationError

from podium.api import checks, names, seed
from podium.api.messages import Wording, given, translate, unwritten
from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.shape import closest
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

Resource = Workflow | WorkflowRun
_MODELS: dict[str, type[Workflow | WorkflowRun]] = {
    "Workflow": Workflow,
    "WorkflowRun": WorkflowRun,
}
_LATER = ("Executor", "Persona", "ModelConfig", "ContractSchema")


@dataclass(slots=True)
class Document:
    """One object of a file."""

    file: str
    raw: dict[str, Any]
    """The object as it was written; for the seed's format what the file has."""
    source_map: SourceMap
    resource: Resource | None = None
    """None: another kind, or one with problems."""
    is_seed: bool = False
    remainder: Resource | None = None
    """Without a resource: what is left of it without what is refused, to look for more problems."""
    refused: list[Path] = field(default_factory=list)
    """Where the resource has what is refused."""

    def overlaps(self, path: Path) -> bool:
        """Return whether a path leads to, or into, something that is refused."""
        return any(path[: len(other)] == other[: len(path)] for other in self.refused)

    @property
    def kind(self) -> str:
        """Kind of the object; a file of the seed's format holds a Workflow."""
        return "Workflow" if self.is_seed else str(self.raw.get("kind", ""))

    def place(self, path: Path) -> Path:
        """Return where this file has what the resource has at `path`."""
        return seed.seed_path(path, self.raw) if self.is_seed else path

    def line_of(self, path: Path) -> int:
        """Return the line of a path of the resource, or of its nearest parent in the file."""
        return self.source_map.find(self.place(path))[0]

    def written(self, path: Path) -> str | None:
        """Return how the plain scalar at a path of the resource was written."""
        source_map = self.source_map.find(self.place(path))[1]
        return None if source_map is None else source_map.text

    def located(self, problem: Problem) -> Problem:
        """Add file and line to a problem of the resource."""
        line = self.line_of(problem.path) if problem.line is None else problem.line
        message = problem.message
        if problem.reworded is not None and self.source_map.keys is not None:
            message = problem.reworded(self.written(problem.path))
        place = self.place(problem.path)
        return replace(problem, path=place, message=message, line=line, file=self.file)


@dataclass(slots=True)
class File:
    """What a file holds, and all that is wrong with it but for its graphs."""

    name: str
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def workflows(self) -> list[tuple[Document, Workflow]]:
        """The sound Workflows of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, Workflow)]

    @property
    def runs(self) -> list[tuple[Document, WorkflowRun]]:
        """The sound WorkflowRuns of the file, in its order."""
        return [(d, d.resource) for d in self.documents if isinstance(d.resource, WorkflowRun)]


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
        problems = _parse(document)
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
        problems = _parse(document)
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


def _parse(document: Document) -> list[Problem]:
    """Make the document's resource, or say why it has none."""
    data = document.raw
    found: list[Problem] = []
    style: Any = "camel"
    if document.is_seed:
        data, unknown = seed.to_resource(data)
        found += [replace(each, line=document.source_map.find(each.path)[0]) for each in unknown]
        style = "snake"
        model: type[Workflow | WorkflowRun] = Workflow
    else:
        kind, problems = _kind(data)
        if kind is None:
            return problems
        model = kind
        # What the operator wrote is not a part of what the user asks for.
        data = {key: value for key, value in data.items() if key != "status"}
    wording: Wording = document.written if document.source_map.keys is not None else unwritten
    try:
        made = _validate(data, model)
    except ValidationError as error:
        problems = translate(error, model, wording, style)
        document.refused = [problem.path for problem in problems]
        document.remainder = _without(data, document.refused, model)
        if document.remainder is not None:
            more = _checked(document.remainder)
            problems += [each for each in more if not document.overlaps(each.path)]
        return found + problems
    found += _checked(made)
    if errors(found):
        document.remainder = made
    else:
        document.resource = made
    return found


def _checked(resource: Resource) -> list[Problem]:
    if isinstance(resource, Workflow):
        return checks.check_workflow(resource)
    return checks.check_run(resource)


def _without(
    data: dict[str, Any], refused: list[Path], model: type[Workflow | WorkflowRun]
) -> Resource | None:
    """Return what is left of an object; None where it makes no sense without what is refused."""
    left = orjson.loads(orjson.dumps(data))
    for path in refused:
        if _stand_in(left, path):
            continue
        *parents, last = path or ("",)
        while isinstance(last, int) and parents:  # positions in lists must stay as they are
            *parents, last = parents
        if last in ("nodes", "edges", "spec", "workflowSpec"):
            return None
        where: Any = left
        for part in parents:
            where = _at(where, part)
        if isinstance(where, dict):
            where.pop(last, None)
    try:
        return _validate(left, model)
    except ValidationError:
        return None


def _stand_in(left: Any, path: Path) -> bool:
    """Put another node where one is refused as a whole: the positions of the rest must stay."""
    place = next((i for i, part in enumerate(path) if part == "nodes"), None)
    if place is None or len(path) < place + 2 or path[place + 2 :] not in ((), ("id",)):
        return False
    where = left
    for part in path[: place + 1]:
        where = _at(where, part)
    position = path[place + 1]
    if not isinstance(where, list) or not isinstance(position, int) or position >= len(where):
        return False
    name = f"refused_{position}"
    if isinstance(where[position], dict) and path[place + 2 :]:
        where[position]["id"] = name
    else:
        where[position] = {"id": name, "executor": "script", "config": {"script": ":"}}
    return True


def _at(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def _validate(data: dict[str, Any], model: type[Workflow | WorkflowRun]) -> Resource:
    """Validate strictly; a null where a field has a type is a field left out, as on the server."""
    try:
        return _strictly(data, model)
    except ValidationError as error:
        nulls = [
            detail["loc"]
            for detail in error.errors(include_url=False)
            if detail["input"] is None and detail["loc"] and isinstance(detail["loc"][-1], str)
        ]
        if not nulls:
            raise
    data = orjson.loads(orjson.dumps(data))
    for loc in nulls:
        parent: Any = data
        for part in loc[:-1]:
            parent = parent[part]
        if isinstance(parent, dict):
            parent.pop(loc[-1], None)
    return _strictly(data, model)


def _strictly(data: dict[str, Any], model: type[Workflow | WorkflowRun]) -> Resource:
    # By way of JSON: pydantic's strict mode then takes texts for enums, and nothing else.
    raw = orjson.dumps(data)
    return model.model_validate_json(raw, strict=True, by_alias=True, by_name=False)


def _kind(data: dict[str, Any]) -> tuple[type[Workflow | WorkflowRun] | None, list[Problem]]:
    """Return the model of an object; None and no problem for other API groups."""
    version, kind = data.get("apiVersion"), data.get("kind")
    for name, value in (("apiVersion", version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            return None, [Problem((name,), f"must be a string, not {given(value)}")]
    known = " or ".join(_MODELS)
    if not version and not kind:
        return None, [
            Problem(
                (),
                f"has no apiVersion and kind: write apiVersion: {names.API_VERSION} and kind:"
                f" {known} (or the format with workflow: at the top)",
            )
        ]
    if not kind:
        return None, [Problem((), f"has no kind: write kind: {known}")]
    if not version:
        return None, [Problem((), f"has no apiVersion: write apiVersion: {names.API_VERSION}")]
    assert isinstance(version, str)  # noqa: S101 - for mypy
    assert isinstance(kind, str)  # noqa: S101 - for mypy
    if version.partition("/")[0].lower() != names.GROUP:
        close = closest(version, [names.API_VERSION])
        if kind in _MODELS and close:
            return None, [_version(version)]
        return None, []
    if version != names.API_VERSION:
        return None, [_version(version)]
    if kind in _MODELS:
        return _MODELS[kind], []
    if kind in _LATER:
        message = f"{kind} comes in a later version; this one knows {', '.join(_MODELS)}"
    else:
        close = closest(kind, _MODELS)
        hint = f"; did you mean {close}?" if close else ""
        message = f"unknown kind {kind!r:.60} of {names.GROUP}: must be {known}{hint}"
    return None, [Problem(("kind",), message)]


def _version(version: str) -> Problem:
    return Problem(("apiVersion",), f"must be {names.API_VERSION}, not {version!r:.60}")


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
