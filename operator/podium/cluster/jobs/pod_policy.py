"""The closed list as CEL, for the chart: `python -m podium.cluster.jobs.pod_policy write|check`.

What is written is a Helm template. The values of the chart come in through `$allow`, which the
chart's `podium.allowances` makes. Objects are taken as plain maps (`dyn`), so that CEL can list
their keys; no rule has a messageExpression, which the server would evaluate on every request.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from podium.api.generated import write_or_check
from podium.cluster.jobs import closed_list, job_list
from podium.cluster.jobs.artifact_store import STORE_VOLUME
from podium.cluster.jobs.outside import SECRET_VOLUMES
from podium.cluster.jobs.rules import (
    USER,
    Allowance,
    Anything,
    Each,
    Empty,
    Fields,
    Holds,
    NoPrefix,
    OneOf,
    Prefix,
    Rule,
    UserId,
    Within,
    Words,
    describe,
)

__all__ = ["FILE", "condition", "files", "run", "text"]

FILE = Path(__file__).parents[4] / "charts/podium/templates/generated/_pod_rules.tpl"
_SNAKE = re.compile(r"_([a-z])")
_RESERVED = r"'^([^/]*\\.)?(kubernetes\\.io|k8s\\.io|podium\\.dev)/'"


def condition(rule: Rule, of: str) -> str | None:
    """Return CEL that is true if what `of` names follows the rule; None: whatever it is."""
    match rule:
        case Anything():
            return None
        case OneOf(Allowance(name)):
            return f"{of} in {{{{ $allow.{_camel(name)} | toJson }}}}"
        case OneOf(values):
            assert not isinstance(values, Allowance)  # noqa: S101 - for the type checker
            words = ", ".join(_literal(each) for each in values)
            return f"{of} == {words}" if len(values) == 1 else f"{of} in [{words}]"
        case Within(least, most):
            return f"({of} >= {least} && {of} <= {most})"
        case UserId():
            return f"({of} == {USER} || ({{{{ $allow.anyUser }}}} && {of} > 0))"
        case NoPrefix(prefix):
            return f"!{of}.startsWith({_literal(prefix)})"
        case Prefix(prefix):
            return f"({of}.startsWith({_literal(prefix)}) && !{of}.contains('..'))"
        case Words(words):
            return f"{of} == [{', '.join(map(_literal, words))}]"
        case Empty():
            return f"{of}.size() == 0"
        case Holds(value):
            return f"{_literal(value)} in {of}"
        case Each(variable, inner, allowed):
            item = condition(inner, variable)
            if item is None:
                return None
            if allowed:
                item = f"({item} || {{{{ $allow.{allowed} }}}})"
            return f"{of}.all({variable}, {item})"
        case Fields():
            some = [f"{of}.size() > 0"] if rule.some else []
            return " && ".join([*some, _closed(rule, of), *_inner(rule, of)])


def _closed(rule: Fields, of: str) -> str:
    """Return CEL that is true if there are no fields but those of the list."""
    names = [name for name in rule.fields if rule.allowed is None or name != rule.allowed[0]]
    keys = "[" + ", ".join(_literal(name) for name in names) + "]"
    if rule.allowed is None:
        return f"{of}.all(k, k in {keys})"
    name, allowance = rule.allowed
    more = f"(k == {_literal(name)} && {{{{ not (empty $allow.{_camel(allowance.name)}) }}}})"
    return f"{of}.all(k, k in {keys} || {more})"


def _inner(rule: Fields, of: str) -> Iterator[str]:
    for name, inner in rule.fields.items():
        if (made := _field(rule, name, inner, of)) is not None:
            yield made


def _field(rule: Fields, name: str, inner: Rule, of: str) -> str | None:
    """Return CEL that is true if one field is as it should be, or is rightly missing."""
    made = condition(inner, f"{of}.{name}")
    if name in rule.required:
        has = f"has({of}.{name})"
        return has if made is None else f"has({of}.{name}) && {made}"
    return None if made is None else f"(!has({of}.{name}) || ({made}))"


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def _literal(value: str | float | bool) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def _validation(expression: str, message: str, when: str = "creates") -> str:
    return (
        f"- expression: >-\n    !variables.{when} || ({expression})\n"
        f"  reason: Forbidden\n  message: >-\n    {message}\n"
    )


def _object(
    rule: Fields, of: str, path: str, wrap: str = "{}", when: str = "creates"
) -> Iterator[str]:
    """Yield a validation for the fields that there are, then one for each field with a rule."""
    names = ", ".join(
        name for name in rule.fields if rule.allowed is None or name != rule.allowed[0]
    )
    yield _validation(wrap.format(_closed(rule, of)), f"{path} may hold only {names}", when)
    for name, inner in rule.fields.items():
        made = _field(rule, name, inner, of)
        if made is not None:
            yield _validation(wrap.format(made), f"{path}.{name} must be {describe(inner)}", when)


def _keys(of: str, keys: tuple[str, ...], prefixes: tuple[str, ...], allowed: str) -> str:
    known = ", ".join(_literal(key) for key in keys)
    begin = "".join(f" || k.startsWith({_literal(prefix)})" for prefix in prefixes)
    return (
        f"{of}.all(k, !k.matches({_RESERVED}) || k in [{known}]{begin}"
        f" || {{{{ $allow.{allowed} }}}})"
    )


def _of_executor(spec: str) -> Iterator[str]:
    """Yield validations of a Pod that an Executor shapes, which the operator's label says."""
    when = "widens"
    yield from _object(
        closed_list.EXECUTOR_POD_SPEC, "variables.spec", f"{spec} of an Executor", when=when
    )
    yield from _object(
        closed_list.EXECUTOR_CONTAINER,
        "c",
        f"{spec}.containers[*] of an Executor",
        "variables.containers.all(c, {})",
        when,
    )
    yield _validation(
        "variables.spec.containers.exists_one(c, c.name == 'node')",
        f"{spec}.containers of an Executor must have one that is named node",
        when,
    )


def _store_rules(spec: str) -> Iterator[str]:
    """Yield validations that keep the artifact store, and its credentials, from programs."""
    helpers = ", ".join(_literal(name) for name in closed_list.HELPERS)
    store = _literal(STORE_VOLUME)
    secrets, claims = "{{ $allow.storeSecrets | toJson }}", "{{ $allow.storeClaims | toJson }}"
    only = f"only {' and '.join(closed_list.HELPERS)} may have it"
    yield _validation(
        f"variables.everyContainer.all(c, c.name in [{helpers}]"
        f" || c.?volumeMounts.orValue([]).all(m, m.name != {store}))",
        f"{spec}.containers[*].volumeMounts must not name {STORE_VOLUME}: {only}",
    )
    for name, prefix in SECRET_VOLUMES.items():
        yield _validation(
            f"variables.everyContainer.all(c, c.name == {_literal(name)}"
            " || c.?volumeMounts.orValue([]).all(m,"
            f" !m.name.startsWith({_literal(prefix)})))",
            f"{spec}.containers[*].volumeMounts must not name {prefix}*: only {name} may have them",
        )
    yield _validation(
        "variables.everyContainer.all(c, c.?env.orValue([]).all(e,"
        f" !(e.?valueFrom.?secretKeyRef.?name.orValue('') in {secrets}))"
        " && c.?envFrom.orValue([]).all(e,"
        f" !(e.?secretRef.?name.orValue('') in {secrets})))",
        f"{spec}.containers[*].env must not name the Secret of the artifact store: {only}",
    )
    yield _validation(
        f"variables.spec.?volumes.orValue([]).all(v, v.name == {store}"
        f" || (!(v.?secret.?secretName.orValue('') in {secrets})"
        f" && !(v.?persistentVolumeClaim.?claimName.orValue('') in {claims})"
        " && v.?projected.?sources.orValue([]).all(s,"
        f" !(s.?secret.?name.orValue('') in {secrets}))))",
        f"{spec}.volumes must not name the artifact store or its Secret: {only}",
    )


def text() -> str:
    """Return the Helm template."""
    spec, meta = "{{ $spec }}", "{{ $meta }}"
    required = ", ".join(_literal(key) for key in closed_list.REQUIRED_LABELS)
    helpers = ", ".join(_literal(name) for name in closed_list.HELPERS)
    rules = [
        *_object(closed_list.POD_SPEC, "variables.spec", spec, when="restricts"),
        _validation(
            "variables.containers.size() == 1"
            " && variables.spec.containers.exists_one(c, c.name == 'node')",
            f"{spec}.containers must be one, named node, and initContainers none, but for those of"
            " artifacts and of the chart's value admissionPolicies.pods.allowedInjection",
            "restricts",
        ),
        _validation(
            f"variables.spec.containers.all(c, !(c.name in [{helpers}]))"
            f" && [{helpers}].all(n, variables.helpers.filter(c, c.name == n).size() <= 1)",
            f"{spec}.initContainers may have each of {', '.join(closed_list.HELPERS)} once, and"
            " containers none of them",
        ),
        *_store_rules(spec),
        *_object(
            closed_list.CONTAINER,
            "c",
            f"{spec}.containers[*]",
            "variables.containers.all(c, {})",
            "restricts",
        ),
        *_of_executor(spec),
        *(
            line
            for name, rule in closed_list.HELPERS.items()
            for line in _object(
                rule,
                "c",
                f"{spec}.initContainers[{name}]",
                f"variables.helpers.all(c, c.name != '{name}' || {{}})".replace("{}", "({})"),
            )
        ),
        _validation(
            f"[{required}].all(k, k in variables.labels)",
            f"{meta}.labels must hold {', '.join(closed_list.REQUIRED_LABELS)}",
        ),
        _validation(
            _keys("variables.labels", closed_list.LABELS, closed_list.LABEL_PREFIXES, "labels"),
            f"{meta}.labels may hold of kubernetes.io, k8s.io and podium.dev only"
            f" {', '.join((*closed_list.LABELS, *closed_list.LABEL_PREFIXES))}, those of"
            " podDefaults and of the chart's value admissionPolicies.pods.allowedInjection",
        ),
        _validation(
            _keys("variables.annotations", closed_list.ANNOTATIONS, (), "annotations"),
            f"{meta}.annotations may hold of kubernetes.io, k8s.io and podium.dev only"
            f" {', '.join(closed_list.ANNOTATIONS)}, those of podDefaults and of the chart's value"
            " admissionPolicies.pods.allowedInjection",
        ),
    ]
    injected = list(
        _object(
            closed_list.INJECTED,
            "c",
            f"{spec}.containers[*] that a webhook added",
            "variables.injected.all(c, {})",
        )
    )
    security = _field(closed_list.CONTAINER, "securityContext", closed_list.CONTAINER_SECURITY, "c")
    defines = {
        "podium.podRules": (rules, "podium.podVariables has its variables"),
        "podium.injectedRules": (injected, "of containers that webhooks add"),
        "podium.podMetadataRules": (
            list(_object(job_list.POD_METADATA, "variables.meta", "metadata")),
            "of a Pod itself",
        ),
        "podium.templateMetadataRules": (
            list(_object(job_list.TEMPLATE_METADATA, "variables.podMeta", meta)),
            "of the template of a Job's Pods",
        ),
        "podium.jobRules": (
            [
                *_object(job_list.JOB_METADATA, "variables.meta", "metadata"),
                *_object(job_list.JOB_SPEC, "variables.job", "spec"),
                _validation(
                    "variables.job.?completionMode.orValue('NonIndexed') == 'Indexed'"
                    " ? variables.job.?managedBy.orValue('').startsWith('podium.dev/')"
                    " : variables.job.?completions.orValue(1) == 1"
                    " && variables.job.?parallelism.orValue(1) <= 1"
                    " && !has(variables.job.backoffLimitPerIndex)",
                    "spec must be of a Job with one Pod at a time, or of an Indexed Job whose"
                    " managedBy names Podium",
                ),
            ],
            "of a Job itself",
        ),
    }
    made = [
        "{{/* Generated from podium.cluster.jobs.closed_list by `make crds`: do not edit. */}}\n"
    ]
    for name, (lines, about) in defines.items():
        made.append(f"\n{{{{/* {about} */}}}}\n{{{{- define {json.dumps(name)} -}}}}\n")
        made.append("{{- $allow := .allow -}}\n{{- $spec := .spec -}}\n{{- $meta := .meta -}}\n")
        made += lines
        made.append("{{- end -}}\n")
    made.append("\n{{/* of a container c that is as restricted as that of a node */}}\n")
    made.append('{{- define "podium.restrictedContainer" -}}\n{{- $allow := .allow -}}\n')
    made.append(f"{security}\n{{{{- end -}}}}\n")
    return "".join(made)


def files() -> dict[Path, str]:
    """Return the generated file with its text."""
    return {FILE: text()}


def run(arguments: list[str]) -> int:
    """Write the generated file, or check that it is what the closed list says."""
    root = Path(__file__).parents[4]
    return write_or_check(__spec__.name, arguments, root, files(), limit=100_000)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
