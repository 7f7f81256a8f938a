"""Context on the command line: `-c key=value`, `--context-string`, `--context-file`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from podium import contracts
from podium.api.problems import InvalidError
from podium.api.source import source_map
from podium.cli.output import CliError

__all__ = ["context_of", "load_context", "parse_value"]

MAX_CHARACTERS = 1_000_000
_USE_STRING = "quote it, or use --context-string to make it a string"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `yes` is a string and `0o7` is a number. No aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias has nothing to stand for here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"has the key {twice!r:.60} twice: remove one of them")
        return super().construct_mapping(node, deep)


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


_INDEXED = re.compile(r"([^\[\]]+)\[[^\[\]]*\].*", re.DOTALL)
"""A key that means an entry of a list, such as `servers[0].name`."""


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
        raise ValueError(f"is not a YAML value ({what}): {_USE_STRING}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()
    return contracts.normalise(value)


def load_context(file: str, option: str = "--context-file") -> dict[str, Any]:
    """Read a file of keys, YAML or JSON. Raises `InvalidError`, `CliError`."""
    try:
        context = _document(file, f"{option} {file}")
    except OSError as error:
        raise CliError(f"{option} {file}: {error.strerror}: name a file of keys") from None
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise CliError(f"{option} {file}: must hold one mapping, KEY: value")
    return context


def _document(file: str, option: str) -> Any:
    """Read a file of one document, as definition files are read."""
    documents = [each.data for each in source_map.read(_text(file), file) if each.data is not None]
    if len(documents) > 1:
        raise CliError(f"{option}: has {len(documents)} documents: must hold one")
    return documents[0] if documents else None


def _text(file: str) -> str:
    path = Path("/dev/stdin" if file == "-" else file)
    with path.open("rb") as stream:
        return source_map.decode(stream.read(source_map.MAX_BYTES + 1), file)


def context_of(
    base: Mapping[str, Any],
    file: str | None,
    values: Iterable[str],
    strings: Iterable[str],
    *,
    below: Mapping[str, Any] | None = None,
    options: tuple[str, str] = ("-c", "--context-file"),
) -> dict[str, Any]:
    """Return a context with what the options set: the file's keys, then single values.

    `options` are the names of the options, of other values than a context's. All are merged object
    by object. `below` is what the result will be merged over. Raises `CliError` naming the option.
    """
    own, of_file = options
    context = contracts.merged(base, {} if file is None else load_context(file, of_file))
    given: dict[tuple[str, ...], str] = {}
    for option, texts in ((own, values), ("--context-string", strings)):
        for text in texts:
            key, equals, value = text.partition("=")
            path = tuple(key.split("."))
            if not equals or not all(path):
                raise CliError(f"{option} {text:.80}: write KEY=VALUE, such as who=world or a.b=1")
            if indexed := _INDEXED.fullmatch(key):
                held = indexed[1]
                raise CliError(
                    f"{option} {key:.80}: a list is replaced as a whole: write"
                    f" {own} {held:.80}='[…]'"
                )
            _check_against(given, path, option)
            given[path] = option
            for beneath in (context, below or {}):
                _check_lists(beneath, path, option)
            try:
                parsed = _value(key, value, own) if option == own else contracts.normalise(value)
            except InvalidError:
                raise
            except ValueError as error:
                raise CliError(f"{option} {key}: {value:.60} {error}") from None
            for name in reversed(path):
                parsed = {name: parsed}
            context = contracts.merged(context, parsed)
    return context


def _value(key: str, text: str, option: str) -> Any:
    """Read the value of an option; `@FILE` is what the file holds."""
    if not text.startswith("@"):
        return parse_value(text)
    file = text[1:]
    try:
        if Path(file).suffix in (".json", ".yaml", ".yml"):
            return contracts.normalise(_document(file, f"{option} {key}=@{file}"))
        return contracts.normalise(_text(file))
    except OSError as error:
        why = f"{error.strerror}: name a file after the @"
        raise CliError(f"{option} {key}=@{file}: {why}") from None


def _check_lists(context: Mapping[str, Any], path: tuple[str, ...], option: str) -> None:
    """Refuse a path that leads into a list."""
    value: Any = context
    for depth, name in enumerate(path):
        if isinstance(value, list):
            held = ".".join(path[:depth])
            raise CliError(
                f"{option} {'.'.join(path)}: {held} is a list, and a list is replaced as a whole:"
                f" write -c {held}='[…]'"
            )
        if not isinstance(value, Mapping) or name not in value:
            return
        value = value[name]


def _check_against(given: Mapping[tuple[str, ...], str], path: tuple[str, ...], by: str) -> None:
    for other, option in given.items():
        shorter = min(len(other), len(path))
        if len(other) != len(path) and other[:shorter] == path[:shorter]:
            outer, inner = sorted((other, path), key=len)
            raise CliError(
                f"{by} {'.'.join(path)}: {option} {'.'.join(other)} is given, too, and"
                f" {'.'.join(outer)} cannot be a value and hold {'.'.join(inner)}: give one of them"
            )
