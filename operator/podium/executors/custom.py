"""Executors that teams add: a config checked against their schema, a template filled in from it.

Everything here is pure and runs where users' schemas and expressions run: what is small at once,
the rest in a worker (`podium.engine.launching`).
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from podium import contracts, expressions
from podium.api.executors import MAIN_CONTAINER, ExecutorSpec
from podium.api.problems import Path, Problem, Severity
from podium.api.shape import closest
from podium.api.templates import strings
from podium.api.workflow import EnvVar, Node
from podium.errors import PodiumError
from podium.executors.base import Runtime, Workload

__all__ = [
    "ConfigBreachError",
    "Filled",
    "config_problems",
    "definition_problems",
    "fill",
    "main_container",
    "needs_cluster",
    "variables",
    "workload",
]

MAX_FILLED_BYTES = 256 * 1024
"""Size of a template that is filled in, as JSON."""
_NODE_FIELDS = ("id", "executionId")


class ConfigBreachError(PodiumError, ValueError):
    """A config, its templates filled in, breaks the schema of its executor."""


class Filled(NamedTuple):
    """What an executor makes of a node's config."""

    config: dict[str, Any]
    """The config, its templates filled in and its defaults added."""
    template: dict[str, Any]
    """The Pod's template, `command`, `args` and perhaps `local`, all filled in."""


# The executor itself


def definition_problems(spec: ExecutorSpec, base: Path = ("spec",)) -> Iterator[Problem]:
    """Find what is wrong with an executor's schema and expressions.

    The shape of its template is checked before (`podium.api.executor_checks`).
    """
    sound = True
    for problem in contracts.schema_problems(spec.config, has_defaults=True):
        severity = Severity.WARNING if problem.is_warning else Severity.ERROR
        sound = sound and problem.is_warning
        yield Problem((*base, "config", *problem.path), problem.report, severity)
    if spec.config.get("type", "object") != "object":
        sound = False
        message = "a node's config is an object: write type: object, with properties"
        yield Problem((*base, "config", "type"), message)
    declared = contracts.properties_of(spec.config) if sound else None
    parts = {
        "template": spec.template,
        "command": spec.command,
        "args": spec.args,
        "local": {"command": [] if spec.local is None else spec.local.command},
    }
    for path, text in strings(parts):
        if expressions.has_template(text):
            yield from _references((*base, *path), text, declared, is_open=_is_open(spec.config))
    yield from _keys(spec.template, (*base, "template"))


def _references(
    path: Path, text: str, declared: Mapping[str, Any] | None, *, is_open: bool
) -> Iterator[Problem]:
    try:
        references = expressions.parse_template(text).references
    except expressions.ExpressionError as error:
        yield Problem(path, str(error))
        return
    for reference in references:
        root, *names = (str(part) for part in reference.path)
        if root == "node":
            if len(names) != 1 or names[0] not in _NODE_FIELDS or reference.computed:
                yield Problem(path, "of the node a template knows node.id and node.executionId")
        elif root != "config":
            message = (
                f"{root!r} is not known here: a template knows config.NAME, node.id and"
                " node.executionId; what else it needs is a field of the config"
            )
            yield Problem(path, message)
        elif names and declared is not None and names[0] not in declared and not is_open:
            close = closest(names[0], declared)
            known = ", ".join(declared) or "no property"
            hint = f"; did you mean config.{close}?" if close else f": spec.config has {known:.200}"
            yield Problem(path, f"config.{names[0]:.80}: unknown property{hint}")


def _keys(value: object, path: Path) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "${{" in str(key):
                yield Problem((*path, str(key)), "${{ }} is filled in in values, not in keys")
            yield from _keys(item, (*path, str(key)))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _keys(item, (*path, position))


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema admits keys that it does not declare."""
    return schema.get("additionalProperties", False) is not False or "patternProperties" in schema


def main_container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the main container of a template."""
    containers: list[Any] = template["spec"]["containers"]
    return next(each for each in containers if each["name"] == MAIN_CONTAINER)


def needs_cluster(template: Mapping[str, Any]) -> bool:
    """Return whether the main container and its image are not the whole of a template."""
    pod, main = template["spec"], main_container(template)
    return bool(
        len(pod["containers"]) > 1
        or pod.get("initContainers")
        or pod.get("volumes")
        or main.get("envFrom")
        or not main.get("image")
    )


def variables(template: Mapping[str, Any]) -> list[EnvVar]:
    """Return the variables of the main container, but for sources that only a cluster has."""
    found = []
    for each in main_container(template).get("env") or ():
        with suppress(ValidationError):
            found.append(EnvVar.model_validate({"value": "", **each} if len(each) == 1 else each))
    return found


# The config of a node


def config_problems(name: str, spec: ExecutorSpec, node: Node) -> Iterator[Problem]:
    """Find what is wrong with a node's config, as far as it is known before its templates are."""
    config = contracts.with_defaults(spec.config, node.config)
    yield from _undeclared(name, spec, node.config)
    open_paths = [path for path, text in strings(node.config) if expressions.has_template(text)]
    for breach in contracts.compile_schema(spec.config).breaches(config):
        # What a template makes is known only once it is filled in; then it is checked again.
        if not any(_overlap(breach.place, path) for path in open_paths):
            yield Problem(("config", *breach.place), breach.message)


def _undeclared(name: str, spec: ExecutorSpec, config: Mapping[str, Any]) -> Iterator[Problem]:
    if "additionalProperties" in spec.config or _is_open(spec.config):
        return  # the schema says so itself
    declared = contracts.properties_of(spec.config)
    for key in config:
        if key not in declared:
            close = closest(str(key), declared)
            known = ", ".join(declared) or "no fields"
            hint = (
                f"; did you mean {close}?" if close else f": the executor {name} has {known:.200}"
            )
            yield Problem(("config", str(key)), f"unknown field{hint}")


def _overlap(place: tuple[str | int, ...], path: Path) -> bool:
    """Return whether a breach is about a string with a template, or about what holds only that."""
    return bool(path) and place == path[: len(place)] and len(place) > 0


def fill(
    name: str, spec: ExecutorSpec, config: Mapping[str, Any], scope: Mapping[str, Any], node: Any
) -> Filled:
    """Fill in a config, check it, and fill the executor's template in from it.

    `node` is what templates know of the node. Raises `ExpressionError`, `ConfigBreachError`.
    """
    try:
        filled = _config(name, spec, config, scope)
    except expressions.ExpressionError as error:
        raise expressions.ExpressionError(f"config: {error}") from None
    given = {"config": filled, "node": node}
    try:
        made: dict[str, Any] = {
            "template": _template(spec.template, given),
            "command": _words(spec.command, given),
            "args": _words(spec.args, given),
        }
        if spec.local is not None:
            made["local"] = _words(spec.local.command, given)
    except expressions.ExpressionError as error:
        raise expressions.ExpressionError(f"template of the executor {name}: {error}") from None
    if len(orjson.dumps(made)) > MAX_FILLED_BYTES:
        raise ConfigBreachError(
            f"config: the template of the executor {name}, filled in, has more than"
            f" {MAX_FILLED_BYTES:,} bytes: hand large data over as outputs of nodes before this one"
        )
    return Filled(filled, made)


def _config(
    name: str, spec: ExecutorSpec, config: Mapping[str, Any], scope: Mapping[str, Any]
) -> dict[str, Any]:
    templates = [path for path, text in strings(config) if expressions.has_template(text)]
    made: dict[str, Any] = {key: _value(item, scope) for key, item in config.items()}
    schema = contracts.compile_schema(spec.config)
    whole = contracts.with_defaults(spec.config, made)
    breaches = schema.breaches(whole)
    as_words = [each.place for each in breaches if each.place in templates]
    if as_words:  # 3 where a string is wanted is "3"
        for place in as_words:
            _set(whole, place, _text(_at(config, place), scope))
        breaches = schema.breaches(whole)
    if breaches:
        words = "; ".join(
            f"config.{each.path}: {each.message}".replace("config.: ", "config: ")
            for each in breaches
        )
        raise ConfigBreachError(words)
    undeclared = next(_undeclared(name, spec, config), None)
    if undeclared is not None:
        raise ConfigBreachError(str(undeclared))
    return whole


def _at(value: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def _set(value: Any, place: tuple[str | int, ...], item: Any) -> None:
    *before, last = place
    _at(value, tuple(before))[last] = item


# Filling in


def _value(value: Any, scope: Mapping[str, Any]) -> Any:
    """Fill in templates once, in the parsed tree; a string that is one `${{ }}` keeps its type."""
    if isinstance(value, str):
        if not expressions.has_template(value):
            return value
        template = expressions.parse_template(value)
        if len(template.parts) == 1 and template.expressions:
            return template.expressions[0].evaluate(scope)
        return template.render(scope)
    if isinstance(value, Mapping):
        return {key: _value(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item, scope) for item in value]
    return value


def _text(value: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and expressions.has_template(value):
        return expressions.parse_template(value).render(scope)
    return value


def _words(words: list[str], scope: Mapping[str, Any]) -> list[str]:
    """Fill in a command: an entry that is one `${{ }}` and gives a list becomes its items."""
    made: list[str] = []
    for word in words:
        value = _value(word, scope)
        if isinstance(value, list):
            made += [each if isinstance(each, str) else _written(each) for each in value]
        else:
            made.append(value if isinstance(value, str) else _text(word, scope))
    return made


def _written(value: Any) -> str:
    """Write a value as a template writes it."""
    return expressions.parse_template("${{ config }}").render({"config": value})


def _template(template: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a Pod's template; what must be strings there stays so."""
    made: dict[str, Any] = _value(template, scope)
    metadata = template.get("metadata") or {}
    for part in ("labels", "annotations"):
        for key, value in (metadata.get(part) or {}).items():
            made["metadata"][part][key] = _text(value, scope)
    for field in ("containers", "initContainers"):
        for position, container in enumerate(template["spec"].get(field) or ()):
            filled = made["spec"][field][position]
            for number, variable in enumerate(container.get("env") or ()):
                if isinstance(variable.get("value"), str):
                    filled["env"][number]["value"] = _text(variable["value"], scope)
            for part in ("command", "args"):
                if isinstance(container.get(part), list):
                    filled[part] = _words([str(word) for word in container[part]], scope)
    return made


# The workload


def workload(template: Mapping[str, Any]) -> Workload:
    """Make the workload of a template that is filled in. Raises `ValueError`."""
    main = main_container(template["template"])
    image = main.get("image")
    if image is not None and not isinstance(image, str):
        raise ValueError(f"template.spec.containers: image must be a string, not {image!r:.80}")
    local = template.get("local")
    return Workload(
        Runtime.EXECUTOR,
        image=image,
        command=tuple(template["command"]),
        args=tuple(template["args"]),
        env=tuple(variables(template["template"])),
        template=template["template"],
        local=None if local is None else tuple(local),
    )
