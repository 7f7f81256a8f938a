"""What the types of the models cannot say: one of two, closed lists, names.

The files' loader applies these, and so does whoever takes an object from a cluster: the API
server knows only the CRD. They need no graph; `podium.dag` checks that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from podium.api import names
from podium.api.problems import Path, Problem
from podium.api.resources import ObjectMeta, Workflow, WorkflowRun
from podium.api.run import WorkflowRunSpec
from podium.api.shape import closest
from podium.api.workflow import (
    MAX_DEFINITION_BYTES,
    EnvVar,
    PodOverrides,
    Resources,
    Volume,
    WorkflowSpec,
)

__all__ = [
    "check_env",
    "check_metadata",
    "check_run",
    "check_run_spec",
    "check_size",
    "check_spec",
    "check_workflow",
    "is_reserved_key",
]


def check_workflow(workflow: Workflow) -> list[Problem]:
    """Return what is wrong with a Workflow, its graph left out."""
    return [
        *check_metadata(workflow.metadata, suggestion=workflow.spec.id or workflow.spec.title),
        *check_spec(workflow.spec),
        *check_size(workflow.spec),
    ]


def check_run(run: WorkflowRun) -> list[Problem]:
    """Return what is wrong with a WorkflowRun, the graph of an inline one left out."""
    return [*check_metadata(run.metadata), *check_run_spec(run.spec)]


def check_metadata(metadata: ObjectMeta, *, suggestion: str | None = None) -> list[Problem]:
    """Check the name, and the keys and values of labels and annotations."""
    found: list[Problem] = []
    here: Path = ("metadata",)
    if metadata.name:
        if not names.is_object_name(metadata.name):
            found.append(Problem((*here, "name"), _no_object_name(metadata.name)))
    elif metadata.generate_name:
        if not names.is_object_name(metadata.generate_name + "x"):
            message = _no_object_name(metadata.generate_name, generated=True)
            found.append(Problem((*here, "generateName"), message))
    else:
        would = names.object_name(suggestion or "my-workflow")
        found.append(Problem((*here, "name"), f"is missing: write a name, such as {would}"))
    found += _labels((*here, "labels"), metadata.labels)
    found += _annotations((*here, "annotations"), metadata.annotations)
    return found


def check_run_spec(spec: WorkflowRunSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check what is asked of a run."""
    found: list[Problem] = []
    if spec.workflow_ref is None and spec.workflow_spec is None:
        found.append(
            Problem(
                base,
                "names no workflow: write workflowRef: {name: …} for a Workflow of this"
                " namespace, or workflowSpec with the graph itself",
            )
        )
    elif spec.workflow_ref is not None and spec.workflow_spec is not None:
        found.append(
            Problem(base, "has both workflowRef and workflowSpec: exactly one, remove the other")
        )
    if spec.workflow_ref is not None:
        name = spec.workflow_ref.name
        if not (names.is_object_name(name) or names.is_id(name)):
            message = f"{name!r:.80} is neither the name nor the spec.id of a Workflow"
            found.append(Problem((*base, "workflowRef", "name"), message))
    if spec.workflow_spec is not None:
        found += check_spec(spec.workflow_spec, (*base, "workflowSpec"))
        found += check_size(spec.workflow_spec, (*base, "workflowSpec"))
    if spec.recorded_answers is not None:
        recorded = spec.recorded_answers
        sources = {"configMapKeyRef": recorded.config_map_key_ref, "file": recorded.file}
        found += _one_of((*base, "recordedAnswers"), sources)
    return found


def check_spec(spec: WorkflowSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check a definition, its graph left out."""
    found: list[Problem] = []
    if spec.id is not None and not (names.is_id(spec.id) or names.is_object_name(spec.id)):
        found.append(
            Problem(
                (*base, "id"),
                f"{spec.id!r:.80} is not a workflow id: use {names.ID_PATTERN}, such as"
                f" {re.sub('[^A-Za-z0-9_-]+', '_', spec.id).strip('_-')[:63] or 'my_workflow'}",
            )
        )
    found += _passwords((*base, "inputs"), spec.inputs)
    if spec.defaults.resources is not None:
        found += _resources((*base, "defaults", "resources"), spec.defaults.resources)
    if spec.defaults.pod is not None:
        found += _pod((*base, "defaults", "pod"), spec.defaults.pod)
    for position, node in enumerate(spec.nodes):
        here = (*base, "nodes", position)
        if node.resources is not None:
            found += _resources((*here, "resources"), node.resources)
        if node.pod is not None:
            found += _pod((*here, "pod"), node.pod)
    return found


def check_size(spec: WorkflowSpec, base: Path = ("spec",)) -> list[Problem]:
    """Check that the definition, as JSON, fits in an object."""
    raw = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    size = len(orjson.dumps(raw))
    if size <= MAX_DEFINITION_BYTES:
        return []
    return [
        Problem(
            base,
            f"the definition has {size:,} bytes as JSON, and {MAX_DEFINITION_BYTES:,} is the"
            " limit: keep long scripts and data in images, volumes or ConfigMaps",
        )
    ]


def check_env(variables: Sequence[EnvVar], base: Path) -> list[Problem]:
    """Check environment variables: of `pod.env`, and of configs that have some."""
    found: list[Problem] = []
    seen: dict[str, int] = {}
    for position, variable in enumerate(variables):
        here = (*base, position)
        if not _ENV_NAME.fullmatch(variable.name):
            found.append(
                Problem(
                    (*here, "name"),
                    f"{variable.name!r:.80} is not a valid name of a variable: use letters,"
                    " digits, _, - and ., not beginning with a digit",
                )
            )
        if variable.name in seen:
            found.append(
                Problem(
                    (*here, "name"),
                    f"duplicate variable {variable.name!r:.80}: entry {seen[variable.name]} of the"
                    " list sets it already",
                )
            )
        seen.setdefault(variable.name, position)
        if variable.value is not None and variable.value_from is not None:
            message = "has both value and valueFrom: exactly one, remove the other"
            found.append(Problem(here, message))
        elif variable.value is None and variable.value_from is None:
            message = 'has no value: write value or valueFrom (value: "" for an empty one)'
            found.append(Problem(here, message))
        if variable.value_from is not None:
            source = variable.value_from
            sources = {
                "secretKeyRef": source.secret_key_ref,
                "configMapKeyRef": source.config_map_key_ref,
                "fieldRef": source.field_ref,
            }
            found += _one_of((*here, "valueFrom"), sources)
    return found


def is_reserved_key(key: str) -> bool:
    """Return whether a label or annotation belongs to Kubernetes or to Podium."""
    prefix, slash, _ = key.rpartition("/")
    if not slash:
        return False
    # Every part before the last slash is looked at: a key of two slashes is invalid anyway.
    domain = prefix.rsplit("/", maxsplit=1)[-1].lower().rstrip(".")
    return any(domain == own or domain.endswith("." + own) for own in _RESERVED)


_RESERVED = ("kubernetes.io", "k8s.io", names.GROUP)
_ENV_NAME = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _one_of(base: Path, sources: Mapping[str, object]) -> Iterator[Problem]:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        what = "has none" if not given else f"has {' and '.join(given)}"
        yield Problem(base, f"{what} of {', '.join(sources)}: exactly one")


def _no_object_name(name: str, *, generated: bool = False) -> str:
    right = names.object_name(name) + ("-" if generated and name.endswith(("-", "_")) else "")
    what = "beginning of a Kubernetes name" if generated else "Kubernetes name"
    return (
        f"{name!r:.80} is not a {what} (lower-case letters, digits, - and ., beginning and ending"
        f" with a letter or digit, 253 characters at most): write {right}"
    )


def _labels(base: Path, labels: Mapping[str, str]) -> Iterator[Problem]:
    for key, value in labels.items():
        yield from _key((*base, key), key, "label")
        if value and not _QUALIFIED.fullmatch(value):
            yield Problem(
                (*base, key),
                f"{value!r:.80} is not a valid value of a label: 63 letters, digits, -, _ and . at"
                " most, beginning and ending with a letter or digit",
            )


def _annotations(base: Path, annotations: Mapping[str, str]) -> Iterator[Problem]:
    for key in annotations:
        yield from _key((*base, key), key, "annotation")


def _key(path: Path, key: str, what: str) -> Iterator[Problem]:
    prefix, slash, name = key.partition("/")
    if not _QUALIFIED.fullmatch(name if slash else key) or (
        slash and not names.is_object_name(prefix)
    ):
        yield Problem(
            path,
            f"{key!r:.80} is not a valid key of {'a label' if what == 'label' else 'an annotation'}"
            ": a name of 63 letters, digits, -, _ and . at most, optionally after a domain and /",
        )


def _reserved(base: Path, keys: Mapping[str, str], what: str) -> Iterator[Problem]:
    for key in keys:
        if is_reserved_key(key):
            yield Problem(
                (*base, key),
                f"{what} {key!r:.80} belongs to the platform: a node may set keys outside"
                f" {', '.join(_RESERVED)}",
            )


def _pod(base: Path, pod: PodOverrides) -> Iterator[Problem]:
    yield from check_env(pod.env, (*base, "env"))
    yield from _labels((*base, "labels"), pod.labels)
    yield from _reserved((*base, "labels"), pod.labels, "label")
    yield from _annotations((*base, "annotations"), pod.annotations)
    yield from _reserved((*base, "annotations"), pod.annotations, "annotation")
    yield from _labels((*base, "nodeSelector"), pod.node_selector)
    for position, toleration in enumerate(pod.tolerations):
        yield from _known((*base, "tolerations", position), toleration, _TOLERATION)
    if pod.affinity is not None:
        yield from _known((*base, "affinity"), pod.affinity, _AFFINITY)
    for name in ("service_account_name", "priority_class_name"):
        value = getattr(pod, name)
        if value is not None and not names.is_object_name(value):
            alias = PodOverrides.model_fields[name].alias or name
            yield Problem((*base, alias), _no_object_name(value))
    yield from _volumes(base, pod)


_TOLERATION = frozenset({"key", "operator", "value", "effect", "tolerationSeconds"})
_AFFINITY = frozenset({"nodeAffinity", "podAffinity", "podAntiAffinity"})
_VOLUME_SOURCES: dict[str, tuple[str, frozenset[str], str | None]] = {
    # Field of the model: its name outside, the fields it may have, the one it must have.
    "empty_dir": ("emptyDir", frozenset({"medium", "sizeLimit"}), None),
    "persistent_volume_claim": (
        "persistentVolumeClaim",
        frozenset({"claimName", "readOnly"}),
        "claimName",
    ),
    "config_map": ("configMap", frozenset({"name", "items", "defaultMode", "optional"}), "name"),
    "secret": (
        "secret",
        frozenset({"secretName", "items", "defaultMode", "optional"}),
        "secretName",
    ),
    "projected": ("projected", frozenset({"sources", "defaultMode"}), "sources"),
}
_PROJECTED = frozenset({"configMap", "secret", "downwardAPI"})


def _volumes(base: Path, pod: PodOverrides) -> Iterator[Problem]:
    known: dict[str, int] = {}
    for position, volume in enumerate(pod.volumes):
        here = (*base, "volumes", position)
        if not _DNS_LABEL.fullmatch(volume.name):
            yield Problem(
                (*here, "name"),
                f"{volume.name!r:.80} is not a valid name of a volume: lower-case letters, digits"
                f" and -, 63 at most, such as {names.object_name(volume.name)}",
            )
        if volume.name in known:
            message = f"duplicate volume {volume.name!r:.80}: entry {known[volume.name]} has it too"
            yield Problem((*here, "name"), message)
        known.setdefault(volume.name, position)
        yield from _volume(here, volume)
    paths: dict[str, int] = {}
    for position, mount in enumerate(pod.volume_mounts):
        here = (*base, "volumeMounts", position)
        if mount.name not in known:
            close = closest(mount.name, known)
            hint = f"; did you mean {close!r}?" if close else ": add it to volumes"
            yield Problem((*here, "name"), f"unknown volume {mount.name!r:.80}{hint}")
        if not mount.mount_path.startswith("/") or ":" in mount.mount_path:
            yield Problem(
                (*here, "mountPath"), "must be an absolute path in the container, without ':'"
            )
        if mount.mount_path in paths:
            message = f"entry {paths[mount.mount_path]} mounts a volume there already"
            yield Problem((*here, "mountPath"), message)
        paths.setdefault(mount.mount_path, position)
        if mount.sub_path is not None and (
            mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/")
        ):
            yield Problem(
                (*here, "subPath"), "must be a path inside the volume: relative, without .."
            )


def _volume(here: Path, volume: Volume) -> Iterator[Problem]:
    sources = {outside: getattr(volume, name) for name, (outside, _, _) in _VOLUME_SOURCES.items()}
    yield from _one_of(here, sources)
    for outside, known, needed in _VOLUME_SOURCES.values():
        source = sources[outside]
        if source is None:
            continue
        yield from _known((*here, outside), source, known)
        if needed is not None and not source.get(needed):
            yield Problem((*here, outside, needed), "is missing")
    if volume.projected is not None:
        yield from _projected((*here, "projected", "sources"), volume.projected.get("sources"))


def _projected(base: Path, sources: object) -> Iterator[Problem]:
    if sources is None:
        return
    if not isinstance(sources, list):
        yield Problem(base, "must be a list")
        return
    for position, source in enumerate(sources):
        here = (*base, position)
        if not isinstance(source, dict):
            yield Problem(here, "must be a mapping")
            continue
        for name in source:
            if name == "serviceAccountToken":
                yield Problem(
                    (*here, name),
                    "service account tokens are refused here: a node that needs one gets it from"
                    " an Executor",
                )
            elif name not in _PROJECTED:
                yield Problem(
                    (*here, name), f"may be one of {', '.join(sorted(_PROJECTED))}, nothing else"
                )
        if len(source) != 1:
            yield Problem(here, f"must have exactly one of {', '.join(sorted(_PROJECTED))}")


def _known(base: Path, value: Mapping[str, Any], known: frozenset[str]) -> Iterator[Problem]:
    for name in value:
        if name not in known:
            close = closest(name, sorted(known))
            hint = f'; did you mean "{close}"?' if close else f"; known are {_list(known)}"
            yield Problem((*base, name), f"unknown field{hint}")


def _list(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))


def _resources(base: Path, resources: Resources) -> Iterator[Problem]:
    for kind, amounts in (("requests", resources.requests), ("limits", resources.limits)):
        for name, amount in amounts.items():
            if not _QUANTITY.fullmatch(str(amount)):
                yield Problem(
                    (*base, kind, name),
                    f"must be a quantity such as 500m, 1Gi or 2, not {str(amount)!r:.60}",
                )


def _passwords(base: Path, schema: object) -> Iterator[Problem]:
    """Refuse inputs that are secrets: a context is stored in status, archive and audit logs."""
    waiting: list[tuple[Path, object]] = [(base, schema)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if value.get("format") == "password":
                yield Problem(
                    (*path, "format"),
                    "inputs are not secret (they are stored in status and logs), so none may be of"
                    " format password: hand secrets to a node by reference, as env with"
                    " valueFrom: {secretKeyRef: {name: …, key: …}}",
                )
            waiting += [
                ((*path, key), item)
                for key, item in reversed(value.items())
                if key not in ("default", "const", "enum", "examples")
            ]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
