"""Pod templates: operator's defaults < Executor < the node's `pod` < what is enforced.

The input is an annotation of the Pod, which the environment or a downward API volume shows as it
is: an environment value written into the template would have its `$(NAME)` expanded. The output is
the container's termination message, so an unchanged image runs as one container without a volume.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from podium.api.names import (
    API_VERSION,
    LABEL_EXECUTOR,
)
from podium.api.outputs import file_outputs
from podium.api.reasons import NodeReason
from podium.api.run import RecordedAnswers
from podium.api.volume_claims import volume_variable
from podium.api.workflow import EnvVar, InputAs, PodOverrides
from podium.artifacts.pod import INPUT_PATH, OUTPUT_PATH
from podium.cluster.jobs.artifacts import (
    ANNOTATION_INPUT,
    IN_PATH,
    OUT_PATH,
    Handover,
    add_handover,
)
from podium.cluster.jobs.errors import BuildError
from podium.cluster.jobs.executor_pod import literal, literal_variables, merged
from podium.cluster.jobs.given_input import GivenInput
from podium.cluster.jobs.large_values import LargeValues
from podium.cluster.jobs.left import Found
from podium.cluster.jobs.output_values import output_file
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.jobs.pod_program import (
    GIVEN,
    PERSONAS_FILE,
    RECORDED,
    RECORDED_VOLUME,
    add_program,
    from_annotation,
)
from podium.cluster.jobs.pod_security import container_security, pod_security
from podium.cluster.kube.views import (
    CONTAINER,
    GRACE_SECONDS,
)
from podium.cluster.settings import Settings
from podium.engine import Launch, PlanNode
from podium.executors import Runtime, Workload, custom
from podium.executors.persona_document import PERSONAS_VARIABLE, LivePersonas
from podium.runner import LAST_WORDS

__all__ = ["RECORDED_VOLUME", "Owner", "TooLargeError", "build_template"]

MAX_INPUT_BYTES = 96 * 1024
"""Beyond it the input is not in the environment: Linux bounds a string at 128 KiB."""
_MOST = 250_000
"""All annotations of an object may have 256 KiB."""

OUTPUT = "/dev/termination-log"


class TooLargeError(BuildError):
    """It is more than the annotations of a Pod carry."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The run that a Job belongs to."""

    namespace: str
    name: str
    uid: str
    workflow: str
    recorded: RecordedAnswers | None
    claims: Mapping[str, str] = field(default_factory=dict)
    """Names of its PersistentVolumeClaims, by name of the claim, where they are known."""
    found: Found = field(default_factory=dict)
    """Of the nodes whose artifacts one finds: execution, and digest of what it left."""
    large: LargeValues = field(default_factory=LargeValues)
    """Of one execution: its values that rest in the store."""
    given: GivenInput | None = None
    """Of one execution: its input, where that was made already."""

    def reference(self) -> dict[str, Any]:
        """Return the ownerReference of what belongs to the run."""
        return {
            "apiVersion": API_VERSION,
            "kind": "WorkflowRun",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def build_template(
    owner: Owner,
    node: PlanNode,
    launch: Launch,
    workload: Workload,
    settings: Settings,
    labels: Mapping[str, str],
    claims: Mapping[str, str],
    live: LivePersonas | None,
    text: bytes,
    handover: Handover,
) -> dict[str, Any]:
    """Build the template of a Job's Pods. Raises `BuildError`.

    `claims` are those of the run that the node mounts: the names of the objects, by name. `live` is
    what personas are told that ask models, `text` the input, where the Pod's annotations have it.
    """
    template, pod = workload.template, node.definition.pod or PodOverrides()
    defaults = copy.deepcopy(settings.pod_defaults)
    variables = defaults.pop("env", [])
    if template is not None:
        variables += literal_variables(custom.main_container(template).get("env") or [])
        workload = workload._replace(runtime=Runtime.CONTAINER, env=())
    resources = defaults.pop("resources", None)
    more_labels, more_notes = defaults.pop("labels", {}), defaults.pop("annotations", {})
    given = text.decode() if handover.is_input_annotated else ""
    annotations = {**more_notes, **pod.annotations}
    if handover.is_input_annotated:
        annotations[ANNOTATION_INPUT] = given
    env = _variables(
        owner,
        launch,
        workload,
        node,
        given,
        variables,
        claims,
        handover,
        live,
    )
    secret = any("secretKeyRef" in (variable.get("valueFrom") or {}) for variable in env) or any(
        volume.secret is not None or volume.projected is not None for volume in pod.volumes
    )
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": workload.image or settings.runner_image,
        "env": env,
        "terminationMessagePath": output_file(node.definition) or OUTPUT,
        # The last words of a failed program are shown to many: not of one that holds secrets.
        "terminationMessagePolicy": "File" if secret else "FallbackToLogsOnError",
        "securityContext": container_security(),
    }
    if node.definition.resources is not None:
        container["resources"] = _dump(node.definition.resources)
    elif resources is not None:
        container["resources"] = resources
    volumes: list[dict[str, Any]] = [_dump(volume) for volume in pod.volumes]
    for claim, name in claims.items():
        volumes.append({"name": claim, "persistentVolumeClaim": {"claimName": name}})
    mounts: list[dict[str, Any]] = [_dump(mount) for mount in pod.volume_mounts]
    if not handover.is_input_laid_out and _is_input_a_file(node, workload, given):
        files = [from_annotation("input.json", ANNOTATION_INPUT)]
    else:
        files = []
    add_program(owner.recorded, workload, container, volumes, mounts, annotations, files, live)
    if mounts:
        container["volumeMounts"] = mounts
    spec: dict[str, Any] = {
        **defaults,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(settings, has_claims=bool(claims)),
        "containers": [container],
    }
    if volumes:
        spec["volumes"] = volumes
    if handover:
        definition, namespace = node.definition, owner.namespace
        add_handover(spec, annotations, definition, namespace, handover, settings)
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > _MOST:
        raise TooLargeError(
            NodeReason.INPUT_TOO_LARGE,
            "input, script and the list of artifacts together are more than a Pod carries,"
            f" {_MOST} bytes: write a shorter script, which may fetch the rest as a file",
        )
    for name in (
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "serviceAccountName",
    ):
        value = _dump(pod).get(name)
        if value:
            spec[name] = value
    made: dict[str, Any] = {
        "metadata": {
            "labels": {**more_labels, **pod.labels, **labels},
            "annotations": annotations,
        },
        "spec": spec,
    }
    if template is not None:
        name = node.definition.executor or ""
        try:
            own = node.definition.resources is not None
            made = merged(made, template, name, pod, has_own_resources=own)
        except ValueError as error:
            raise BuildError(NodeReason.CONFIG, f"the executor {name}: {error}") from None
    elif LABEL_EXECUTOR in made["metadata"]["labels"]:
        raise BuildError(NodeReason.FORBIDDEN, f"the label {LABEL_EXECUTOR} is Podium's own")
    if problems := check_pod(made, settings, handover.store):
        words = "; ".join(str(problem) for problem in problems)
        raise BuildError(NodeReason.FORBIDDEN, f"its Pod may not be so: {words:.1000}")
    return made


def _variables(
    owner: Owner,
    launch: Launch,
    workload: Workload,
    node: PlanNode,
    given: str,
    defaults: Sequence[dict[str, Any]],
    claims: Collection[str],
    handover: Handover,
    live: LivePersonas | None,
) -> list[dict[str, Any]]:
    """Return the container's environment; a node's own variables do not hide Podium's.

    `defaults` are the operator's, which a node's own replace.
    """
    pod = node.definition.pod or PodOverrides()
    own: list[dict[str, Any]] = [
        # Where the output comes from other files, nothing else is read.
        *([] if file_outputs(node.definition.outputs) else _output_variables(node)),
        {"name": "PODIUM_NODE", "value": launch.node},
        {"name": "PODIUM_EXECUTION", "value": launch.execution_id},
        {"name": "PODIUM_RUN", "value": owner.name},
    ]
    for claim in claims:
        path = next(each.mount_path for each in pod.volume_mounts if each.name == claim)
        own.append({"name": volume_variable(claim), "value": literal(path)})
    as_file = _is_input_a_file(node, workload, given)
    if handover.is_input_laid_out:
        own.append({"name": "PODIUM_INPUT", "value": INPUT_PATH})
    elif as_file:
        own.append({"name": "PODIUM_INPUT", "value": f"{GIVEN}/input.json"})
    if (
        not handover.is_input_laid_out
        and _fits(given)
        and (workload.runtime is not Runtime.CONTAINER or not as_file)
    ):
        source = {"fieldRef": {"fieldPath": f"metadata.annotations['{ANNOTATION_INPUT}']"}}
        own.append({"name": "PODIUM_INPUT_JSON", "valueFrom": source})
    if workload.runtime is not Runtime.CONTAINER or handover.has_artifacts:
        own.append({"name": "PODIUM_ARTIFACTS_IN", "value": IN_PATH})
        own.append({"name": "PODIUM_ARTIFACTS_OUT", "value": OUT_PATH})
    if workload.runtime is Runtime.RUNNER or launch.template is not None:
        config = orjson.dumps(launch.config).decode()
        if len(config.encode()) > MAX_INPUT_BYTES:
            raise BuildError(
                NodeReason.INPUT_TOO_LARGE,
                f"config, its templates filled in, has more than {MAX_INPUT_BYTES} bytes, too many"
                " for the environment: hand large strings over as outputs of nodes before this one",
            )
        own.append({"name": "PODIUM_CONFIG", "value": literal(config)})
    if live is not None:
        own.append({"name": PERSONAS_VARIABLE, "value": f"{GIVEN}/{PERSONAS_FILE}"})
        own += [_variable(each.variable) for each in live.variables]
    elif workload.runtime is Runtime.RUNNER:
        own.append({"name": "PODIUM_RECORDED", "value": f"{RECORDED}/answers"})
    taken = {variable["name"] for variable in own}
    theirs: dict[str, dict[str, Any]] = {}
    if workload.runtime is Runtime.SCRIPT:  # what it prints before a time-out is in its log
        theirs["PYTHONUNBUFFERED"] = {"name": "PYTHONUNBUFFERED", "value": "1"}
    theirs |= {str(each.get("name")): each for each in defaults}
    theirs |= {variable.name: _variable(variable) for variable in (*workload.env, *pod.env)}
    return [*own, *(value for name, value in theirs.items() if name not in taken)]


def _output_variables(node: PlanNode) -> list[dict[str, Any]]:
    if not node.definition.large_output:
        return [{"name": "PODIUM_OUTPUT", "value": OUTPUT}]
    return [
        {"name": "PODIUM_OUTPUT", "value": OUTPUT_PATH},
        {"name": LAST_WORDS, "value": OUTPUT},
    ]


def _fits(given: str) -> bool:
    """Return whether an input may stand in the environment."""
    return len(given.encode()) <= MAX_INPUT_BYTES


def _is_input_a_file(node: PlanNode, workload: Workload, given: str) -> bool:
    return (
        workload.runtime is not Runtime.CONTAINER
        or node.definition.input_as is InputAs.FILE
        or not _fits(given)
    )


def _variable(variable: EnvVar) -> dict[str, Any]:
    if variable.value_from is not None:
        return {"name": variable.name, "valueFrom": _dump(variable.value_from)}
    return {"name": variable.name, "value": literal(variable.value or "")}


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dumped
