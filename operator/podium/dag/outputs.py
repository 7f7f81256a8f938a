"""What can be wrong with the values that `outputs` of a node names."""

from collections.abc import Iterator

import orjson

from podium import contracts, executors
from podium.api.artifact_rules import unsafe_path
from podium.api.field_checks import one_of
from podium.api.names import ID_PATTERN, is_id
from podium.api.outputs import OutputFormat, OutputValue, file_outputs
from podium.api.problems import Path, Problem
from podium.api.workflow import Node

__all__ = ["output_problems"]

_MAX_DEFAULT_BYTES = 4096
"""As an output has."""


def output_problems(node: Node) -> Iterator[Problem]:
    """Find what is wrong with a node's `outputs`; paths begin at the node."""
    if not node.outputs:
        return
    executor = executors.get(node.executor or "")
    if executor is not None and executor.runtime is executors.Runtime.RUNNER:
        message = "is for script and container nodes: what personas answer is the output already"
        yield Problem(("outputs",), message)
    declared = node.output_contract.schema_ if node.output_contract is not None else None
    closed = declared is not None and contracts.is_closed(declared)
    known = contracts.properties_of(declared or {})
    for name, source in sorted(node.outputs.items()):  # as the API server returns them
        here: Path = ("outputs", name)
        if not is_id(name):
            message = (
                f"{name!r:.80} is not the name of a value: use {ID_PATTERN}, that is a letter or _"
                " first, then letters, digits, _ and -"
            )
            yield Problem(here, message)
        elif closed and name not in known:
            message = f"outputContract.schema is closed and has no property {name!r}: add it there"
            yield Problem(here, message)
        yield from _value(here, source)
    yield from _together(node)


def _value(here: Path, source: OutputValue) -> Iterator[Problem]:
    yield from one_of(here, {"path": source.path, "stdout": source.stdout})
    if source.path is not None and (why := _bad_path(source.path)):
        yield Problem((*here, "path"), f"{source.path!r:.200} {why}")
    if source.stdout is not None and source.format is not None:
        message = f"belongs to path: leave it out, stdout: {source.stdout} says how it is read"
        yield Problem((*here, "format"), message)
    if source.default is None:
        return
    read_as, default = source.read_as, source.default
    if read_as is OutputFormat.TEXT and not isinstance(default, str):
        yield Problem((*here, "default"), "must be a string, as the value is: put it in quotes")
    elif read_as is OutputFormat.LINES and not (
        isinstance(default, list) and all(isinstance(line, str) for line in default)
    ):
        yield Problem((*here, "default"), "must be a list of strings, as the value is")
    try:
        size = len(orjson.dumps(contracts.normalise(default)))
    except (contracts.ValueNotJSONError, RecursionError) as error:
        yield Problem((*here, "default"), str(error))
        return
    if size >= _MAX_DEFAULT_BYTES:
        message = f"has {size} bytes, and an output has less than {_MAX_DEFAULT_BYTES}: shorten it"
        yield Problem((*here, "default"), message)


def _bad_path(path: str) -> str:
    if not path.isprintable():
        return "has control characters: use printable ones"
    if not path.startswith("/"):
        return "is not absolute: write a path such as /tmp/result.txt"
    if ":" in path:
        return "has a colon, which container tools cannot mount: choose another path"
    if why := unsafe_path(path.removeprefix("/")):
        return f"{why}: write a path such as /tmp/result.txt"
    return ""


def _together(node: Node) -> Iterator[Problem]:
    """Find values that cannot be had beside each other."""
    files = file_outputs(node.outputs)
    taken: dict[str, str] = {}
    for name, path in sorted(files.items(), key=lambda each: each[1].split("/")):
        for other, its_name in taken.items():
            if path == other or path.startswith(other + "/"):
                how = "is the path" if path == other else "lies within the path"
                message = f"{path!r:.200} {how} of outputs.{its_name}: each needs a file of its own"
                yield Problem(("outputs", name, "path"), message)
                break
        taken.setdefault(path, name)
    if not files or node.output_contract is None:
        return
    for position, produced in enumerate(node.output_contract.produces):
        if produced not in node.outputs:
            message = (
                f"{produced!r:.80} is not in outputs, and a node with values from files has no"
                " $PODIUM_OUTPUT: add it to outputs"
            )
            yield Problem(("outputContract", "produces", position), message)
