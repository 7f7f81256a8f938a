"""Executors that the command line knows: built in, and those of files."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from podium import executors
from podium.api.executors import ExecutorSpec
from podium.api.problems import InvalidError, errors
from podium.api.shape import closest
from podium.api.source.files import read_file
from podium.cli.checked_file import check_file, definition_files
from podium.cli.fields import Field, find
from podium.cli.output import CliError
from podium.executors import added

__all__ = ["Listed", "executor_field", "listed"]

BUILT_IN, INSTALLED = "built-in", "installed"
_TITLES = {
    "script": "A program in the workflow, and the interpreter that runs it",
    "container": "An image, run as it is",
    "workflow": "Another Workflow, as a child run",
    "persona": "An LLM role, or a team of such (recorded answers)",
}
_DEPTH = 20


class Listed(NamedTuple):
    """One executor."""

    name: str
    kind: str
    """Executor, ClusterExecutor, or where it comes from."""
    title: str
    spec: ExecutorSpec | None = None
    """None: it is built in."""


def listed(files: Iterable[str]) -> list[Listed]:
    """Return the built-in executors, those of this installation and of files.

    Raises `InvalidError`, `UserError`.
    """
    found = [
        Listed(name, BUILT_IN, _TITLES.get(name, _TITLES["persona"])) for name in executors.names()
    ]
    found += [
        Listed(name, INSTALLED, own.spec.title or "", own.spec)
        for name in added.names()
        if (own := added.find(name)) is not None
    ]
    read = [read_file(path) for each in files for path in definition_files(each)]
    for one in read:
        file = check_file(one, others=[each for each in read if each is not one])
        if errors(file.problems):
            raise InvalidError(file.problems)
        for _, executor in file.executors:
            title = executor.spec.title or ""
            found.append(Listed(executor.metadata.name, executor.KIND, title, executor.spec))
    return found


def executor_field(name: str, rest: str, files: Iterable[str]) -> tuple[Listed, Field]:
    """Return an executor and a field of its config. Raises `CliError`."""
    known = {each.name: each for each in listed(files)}
    if name not in known:
        close = closest(name, known)
        hint = f"; did you mean {close}?" if close else ""
        raise CliError(
            f"there is no executor {name!r:.60}: known are {', '.join(known)}{hint} (-f names a"
            " file or directory with more)"
        )
    executor = known[name]
    if executor.spec is None:
        return executor, find(f"executor.{name}.{rest}".rstrip("."))[1]
    here = _field(name, executor.spec.config, executor.spec.config)
    for part in rest.split(".") if rest else ():
        if part not in here.fields:
            fields = ", ".join(here.fields) or "no fields"
            raise CliError(f"{here.name} has no field {part!r:.60}; it has {fields}")
        here = here.fields[part]
    return executor, here


def _field(
    name: str, part: Any, root: Mapping[str, Any], *, required: bool = False, depth: int = 0
) -> Field:
    """Return a field of a JSON Schema that users wrote, as far as it can be shown."""
    part = _followed(part, root)
    inner = part
    kind = _type(part)
    while isinstance(inner.get("items"), Mapping) and "properties" not in inner:
        inner = _followed(inner["items"], root)
        kind = f"[]{_type(inner)}" if kind == "array" else kind
    properties = inner.get("properties")
    needed = inner.get("required")
    fields = {}
    if isinstance(properties, Mapping) and depth < _DEPTH:
        fields = {
            str(key): _field(
                str(key),
                each,
                root,
                required=isinstance(needed, list) and key in needed,
                depth=depth + 1,
            )
            for key, each in properties.items()
        }
    allowed = part.get("enum")
    return Field(
        name,
        kind,
        str(part.get("description") or part.get("title") or ""),
        required,
        _written(part["default"]) if "default" in part else "",
        tuple(_written(each) for each in allowed) if isinstance(allowed, list) else (),
        _limits(part),
        fields,
    )


def _followed(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references into the same schema."""
    for _ in range(_DEPTH):
        if not isinstance(part, Mapping):
            return {}
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return part
        found: Any = root
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        part = (
            {**found, **{k: v for k, v in part.items() if k != "$ref"}}
            if isinstance(found, Mapping)
            else {}
        )
    return {}


def _type(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    if isinstance(kind, str):
        return "Object" if kind == "object" else kind
    return "Object" if "properties" in part else "string" if _only_strings(part) else "any"


def _only_strings(part: Mapping[str, Any]) -> bool:
    allowed = part.get("enum")
    return isinstance(allowed, list) and all(isinstance(each, str) for each in allowed)


def _written(value: Any) -> str:
    import orjson  # noqa: PLC0415 - few values are not strings

    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _limits(part: Mapping[str, Any]) -> str:
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "maxItems": "at most {} entries",
        "pattern": "matches {}",
    }
    return ", ".join(text.format(part[key]) for key, text in words.items() if key in part)
