"""Which Secrets, ConfigMaps and claims nodes and their Pods name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from podium import executors, kinds
from podium.api.run import RecordedAnswers
from podium.api.workflow import PodOverrides, WorkflowSpec
from podium.cluster.jobs.artifact_store import STORE_VOLUME
from podium.cluster.jobs.outside import source_secrets, target_secrets
from podium.cluster.jobs.pod_template import RECORDED_VOLUME
from podium.cluster.kube.views import dig
from podium.engine import PlanNode
from podium.executors.persona_document import live_personas, missing_models

__all__ = ["CLAIM", "Reference", "in_node", "in_pod"]

CLAIM = "PersistentVolumeClaim"
_KEYS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
_WHOLE = {"secret": "Secret", "configMap": "ConfigMap", "persistentVolumeClaim": CLAIM}
"""Kinds, by the field that names one."""
_NAMES = {"secret": "secretName", "persistentVolumeClaim": "claimName"}
"""How that field has the name, where it is not `name`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A Secret, ConfigMap or claim that a node, or its Pod, names."""

    kind: str
    name: str
    field: str
    optional: bool = False
    is_recorded: bool = False
    """Whether it holds recorded answers."""
    is_store: bool = False
    """Whether it is what the artifact store's own volume is made of."""


def in_node(
    node: PlanNode, recorded: RecordedAnswers | None, spec: WorkflowSpec
) -> Iterator[Reference]:
    """Find the references of a node's definition; templates are filled in later."""
    if not kinds.runs_program(node.definition):
        return
    definition = node.definition
    pod = definition.pod or PodOverrides()
    is_persona = definition.executor in executors.PERSONA_EXECUTORS
    env = definition.config.get("env")
    if node.executor is not None:
        yield from in_pod(node.executor.template["spec"])
    elif isinstance(env, list) and not is_persona:  # whose further keys are data
        yield from _in_env("config.env", env)
    yield from _in_env("pod.env", [_dump(variable) for variable in pod.env])
    yield from _in_volumes("pod.volumes", [_dump(volume) for volume in pod.volumes])
    for name, field in (source_secrets(definition) | target_secrets(definition)).items():
        yield Reference("Secret", name, field)
    if is_persona and recorded is not None and recorded.config_map_key_ref is not None:
        name = recorded.config_map_key_ref.name
        yield Reference("ConfigMap", name, "spec.recordedAnswers", is_recorded=True)
    elif is_persona and recorded is None and next(missing_models(definition, spec), None) is None:
        for variable, field in live_personas(definition, definition.config, spec).variables:
            source = {"valueFrom": _dump(variable.value_from)}
            yield from (replace(each, field=field) for each in _in_env("", [source]))


def in_pod(spec: Mapping[str, Any]) -> Iterator[Reference]:
    """Find the references of a Pod, but for those with which its images are pulled."""
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        yield from _in_env("env", container.get("env") or ())
        for source in container.get("envFrom") or ():
            yield from _of(source, "envFrom", {"secretRef": "Secret", "configMapRef": "ConfigMap"})
    yield from _in_volumes("volumes", spec.get("volumes") or ())


def _in_env(field: str, variables: Iterable[Any]) -> Iterator[Reference]:
    for position, variable in enumerate(variables):
        source = dig(variable, "valueFrom")
        where = f"{field}[{position}].valueFrom"
        yield from _of(source, where, _KEYS)


def _in_volumes(field: str, volumes: Iterable[Any]) -> Iterator[Reference]:
    for position, volume in enumerate(volumes):
        where = f"{field}[{position}]"
        recorded = dig(volume, "name") == RECORDED_VOLUME
        store = dig(volume, "name") == STORE_VOLUME
        yield from _of(volume, where, _WHOLE, recorded=recorded, store=store)
        sources = dig(volume, "projected", "sources")
        for number, source in enumerate(sources if isinstance(sources, list) else ()):
            inner = f"{where}.projected.sources[{number}]"
            yield from _of(source, inner, _WHOLE)


def _of(
    source: Any,
    where: str,
    kinds: Mapping[str, str],
    *,
    recorded: bool = False,
    store: bool = False,
) -> Iterator[Reference]:
    for key, kind in kinds.items():
        name = dig(source, key, _NAMES[key]) if key in _NAMES else None
        name = dig(source, key, "name") if name is None else name
        if isinstance(name, str) and "${{" not in name:
            optional = dig(source, key, "optional") is True
            yield Reference(kind, name, f"{where}.{key}", optional, recorded, store)


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dumped
