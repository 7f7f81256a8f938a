"""Context on the command line: `-c key=value`, `--context-string`, `--context-file`."""

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from podium import contracts
from podium.api.source import source_map
from podium.cli.output import CliError

__all__ = ["context_of", "load_context", "parse_value"]

MAX_CHARACTERS = 1_000_000
_USE_STRING = "quote it, or use --context-string to mean the text"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `yes` is a text and `0o7` is a number. No aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias has nothing to stand for here")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.nan)$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0 if text[:2] in ("0o", "0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def parse_value(text: str) -> Any:
    """Read a value as YAML 1.2 does: a scalar, or a list or mapping in brackets.

    Raises `ValueError` saying what is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has more than {MAX_CHARACTERS} characters")
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            raise ValueError(f"would be a block of YAML: {_USE_STRING}")
        plain = isinstance(node, yaml.ScalarNode) and not node.style and text[:1] not in "!&"
        if plain and node is not None and node.value != text.strip():
            raise ValueError(f"is {node.value!r:.40} and a comment in YAML: {_USE_STRING}")
        if node is None and text.strip():
            raise ValueError(f"is a comment in YAML: {_USE_STRING}")
        value = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        what = getattr(error, "problem", None) or str(error)
        raise ValueError(f"is no YAML value ({what}): {_USE_STRING}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()
    return contracts.normalise(value)


def load_context(file: str) -> dict[str, Any]:
    """Read a file of context keys, YAML or JSON. Raises `InvalidError`, `CliError`, `OSError`."""
    path = Path("/dev/stdin" if file == "-" else file)
    with path.open("rb") as stream:
        text = source_map.decode(stream.read(source_map.MAX_BYTES + 1), file)
    documents = [each.data for each in source_map.read(text, file) if each.data is not None]
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0], dict):
        raise CliError(f"--context-file {file}: must hold one mapping, KEY: value")
    context: dict[str, Any] = documents[0]
    return context


def context_of(
    base: Mapping[str, Any], file: str | None, values: Iterable[str], strings: Iterable[str]
) -> dict[str, Any]:
    """Return a context with what the options set: the file's keys, then single values.

    `a.b=1` sets one key of a mapping and leaves its others. Raises `CliError` naming the option.
    """
    context = copy.deepcopy(dict(base))
    if file is not None:
        context.update(load_context(file))
    given: dict[tuple[str, ...], str] = {}
    for option, texts in (("-c", values), ("--context-string", strings)):
        for text in texts:
            key, equals, value = text.partition("=")
            path = tuple(key.split("."))
            if not equals or not all(path):
                raise CliError(f"{option} {text:.80}: write KEY=VALUE, such as who=world or a.b=1")
            _check_against(given, path, option)
            given[path] = option
            try:
                parsed = parse_value(value) if option == "-c" else contracts.normalise(value)
            except ValueError as error:
                raise CliError(f"{option} {key}: {value:.60} {error}") from None
            _put(context, path, parsed)
    return context


def _check_against(given: Mapping[tuple[str, ...], str], path: tuple[str, ...], by: str) -> None:
    for other, option in given.items():
        shorter = min(len(other), len(path))
        if len(other) != len(path) and other[:shorter] == path[:shorter]:
            outer, inner = sorted((other, path), key=len)
            raise CliError(
                f"{by} {'.'.join(path)}: {option} {'.'.join(other)} is given, too, and"
                f" {'.'.join(outer)} cannot be a value and hold {'.'.join(inner)}: give one of them"
            )


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for parent in path[:-1]:
        below = target.get(parent)
        if not isinstance(below, dict):
            below = target[parent] = {}
        target = below
    target[path[-1]] = value
