"""JSON and YAML for people: the same to a program, and safe on a terminal."""

import json
from typing import Any

import orjson
import yaml

from podium.api.source import source_map
from podium.cli.output import escape_control, is_safe

__all__ = ["to_json", "to_yaml"]


def to_json(document: Any) -> str:
    """Write JSON for people; what a terminal would act on is escaped, so the meaning stays."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        each if each == "\n" or is_safe(each) else json.dumps(each)[1:-1] for each in text
    )


class _Dumper(yaml.SafeDumper):
    """Writes strings of several lines as blocks, and repeats no value by alias."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if not all(each == "\n" or is_safe(each) for each in value):
        style = '"'  # where `to_yaml` can escape what must be
    elif "\n" in value:
        style = "|"
    elif _would_change(value):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _would_change(text: str) -> bool:
    """Return whether a string, unquoted, would be read as something else: `y`, `1e3`, `0o7`."""
    try:
        return bool(source_map.resolve_plain(text) != text)
    except ValueError:
        return True


_Dumper.add_representer(str, _text)


def to_yaml(document: Any) -> str:
    """Write JSON as YAML, in its own order, safe to print; `kubectl` reads the same."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return "\n".join(escape_control(line) for line in text.split("\n"))
