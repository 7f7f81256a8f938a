"""Secrets of a laptop run: the file that has them, and keeping their values out of what is shown.

A program gets the values of its secrets as variables, and may print them. While it runs its log
holds what it printed, readable for its user only; `podium logs` masks the values as it prints.
When the program has ended they are overwritten in the log itself, by as many `*`.
"""

import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import yaml

from podium import executors
from podium.api.problems import UserError
from podium.api.workflow import EnvVar, Node, WorkflowSpec
from podium.local.files import is_unicode, read_regular

__all__ = [
    "Mask",
    "SecretsError",
    "known_values",
    "load_secrets",
    "running_values",
    "secret_variables",
]

MAX_BYTES = 1_000_000
MIN_CHARACTERS = 4
"""Shorter values hide nothing, and would blot out common words."""
_CHUNK = 1 << 20
_SHAPE = "must hold SECRET: {KEY: value}"


class SecretsError(UserError):
    """The file of secrets cannot be used; the message says where and why, and quotes no value."""


def load_secrets(path: Path) -> dict[str, dict[str, str]]:
    """Read a file of `{secret: {key: value}}`, YAML or JSON. Raises `SecretsError`.

    Values are strings as they are written: `0123456`, `no` and `1.10` stay what they are.
    """
    option = f"--secrets {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise SecretsError(f"{option}: has more than {MAX_BYTES} bytes")
        node = yaml.compose(data.decode(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise SecretsError(f"{option}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretsError(f"{option}: is not UTF-8: save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise SecretsError(f"{option}{line}: is not YAML: it {_SHAPE}") from None
    if node is None:
        return {}
    return {
        name: {key: _string(option, f"{name}.{key}", value) for key, value in _pairs(option, keys)}
        for name, keys in _pairs(option, node)
    }


def _pairs(option: str, node: yaml.Node) -> Iterable[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise SecretsError(f"{option}:{_line(node)}: {_SHAPE}")
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SecretsError(f"{option}:{_line(key)}: {_SHAPE}")
        if not is_unicode(key.value):
            raise SecretsError(f"{option}:{_line(key)}: a key contains an unpaired surrogate")
        if key.value in seen:
            raise SecretsError(
                f"{option}:{_line(key)}: {key.value!r:.80} is there twice: remove one of them"
            )
        seen.add(key.value)
        yield key.value, value


def _string(option: str, path: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        kind = "mapping" if isinstance(node, yaml.MappingNode) else "list"
        raise SecretsError(
            f"{option}:{_line(node)}: {path:.80} is a {kind}: write its value as one string"
        )
    value = str(node.value)
    if not is_unicode(value):
        where = f"{option}:{_line(node)}: {path:.80}"
        raise SecretsError(f"{where} contains an unpaired surrogate (a lone \\u escape)")
    return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def secret_variables(spec: WorkflowSpec) -> list[EnvVar]:
    """Return the variables of a workflow's nodes that take their values from secrets."""
    found: list[EnvVar] = []
    if spec.defaults.pod is not None:
        found += spec.defaults.pod.env
    for _, node in spec.placed_nodes():
        executor = executors.get(node.executor or "")
        if executor is not None and "env" in node.config:
            found += executor.workload(node, node.config).env
        elif (custom := spec.executors.get(node.executor or "")) is not None:
            found += executors.custom.variables(custom.template)
        if node.pod is not None:
            found += node.pod.env
        if node.executor in executors.PERSONA_EXECUTORS:
            found += _of_personas(node, spec)
    return [each for each in found if each.value_from and each.value_from.secret_key_ref]


def _of_personas(node: Node, spec: WorkflowSpec) -> list[EnvVar]:
    """Return the variables of personas that ask models; those that lack one ask none."""
    from podium.executors.persona_document import (  # noqa: PLC0415 - few workflows have personas
        live_personas,
    )

    with suppress(ValueError):
        return [each.variable for each in live_personas(node, node.config, spec).variables]
    return []


def running_values(directory: Path, names: Iterable[str]) -> list[str]:
    """Return what these variables hold in the program of an execution, if it runs.

    The program was perhaps started by a podium that had another environment. Linux only.
    """
    with suppress(OSError, ValueError, IndexError):
        pid = int(read_regular(directory / "process", 100)[0].split()[0])
        held = dict(
            variable.partition(b"=")[::2]
            for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        )
        return [os.fsdecode(held[name]) for each in names if (name := each.encode()) in held]
    return []


class Mask:
    """Hides values of secrets: each line of each value that is long enough to be recognised."""

    def __init__(self, values: Iterable[str]) -> None:
        parts = {os.fsencode(part) for value in values for part in value.splitlines()}
        self._parts = sorted((p for p in parts if len(p) >= MIN_CHARACTERS), key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def longest(self) -> int:
        """Bytes of the longest value."""
        return len(self._parts[0]) if self._parts else 0

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"|".join(map(re.escape, self._parts)))

    def hide(self, data: bytes) -> bytes:
        """Return output of a program with `***` for each value."""
        return self._pattern.sub(b"***", data) if self._parts else data

    def cut(self, data: bytes) -> int:
        """Return where the output of a program can be cut in two so that no value is."""
        place = len(data) - self.longest
        for found in self._pattern.finditer(data) if self._parts else ():
            if found.start() < place < found.end():
                return found.start()
        return place

    def overwrite(self, path: Path) -> None:
        """Overwrite the values in a log, in place: what follows it does not lose its place.

        What is not a regular file is left alone. Raises `OSError`.
        """
        if not self._parts:
            return
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            size = os.fstat(handle).st_size if stat.S_ISREG(os.fstat(handle).st_mode) else 0
            offset = 0
            while offset < size:
                data = os.pread(handle, _CHUNK + self.longest, offset)
                for found in self._pattern.finditer(data):
                    os.pwrite(handle, b"*" * len(found.group()), offset + found.start())
                offset += _CHUNK
        finally:
            os.close(handle)


def known_values(
    variables: Iterable[EnvVar], secrets: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return the values that variables have from secrets, as far as they are known here."""
    found = []
    for variable in variables:
        selector = variable.value_from.secret_key_ref if variable.value_from is not None else None
        if selector is not None:
            value = secrets.get(selector.name, {}).get(selector.key, os.environ.get(selector.key))
            found.append(value or "")
    return found
