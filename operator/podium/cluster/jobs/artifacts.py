"""Artifacts of a node's Pod: what is fetched before its program, and collected after it.

Podium's own containers alone mount the store, or the credentials for it. The collector is a native
sidecar and the first of all: it is started before the program, and stopped after everything else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.api.workflow import ArtifactType, Node
from podium.artifacts.authorities import AUTHORITIES_VARIABLE
from podium.artifacts.carried_input import Carried
from podium.artifacts.left import Declared
from podium.artifacts.packed_input import INPUT_VARIABLES
from podium.artifacts.pod import (
    INPUT_PATH,
    OUT_PATH,
    OUTPUT_PATH,
    STORE_PATH,
    UPLOAD_VARIABLE,
    Task,
    Wanted,
)
from podium.artifacts.reach import HOSTS_VARIABLE
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.jobs.artifact_store import STORE_VOLUME, store_variables, store_volume
from podium.cluster.jobs.errors import BuildError
from podium.cluster.jobs.large_values import NONE_LARGE, LargeValues
from podium.cluster.jobs.left import Found, left_in
from podium.cluster.jobs.output_values import collected_files
from podium.cluster.jobs.outside import (
    FOUND_PATH,
    IN_PATH,
    from_outside,
    leaving,
    place_of,
)
from podium.cluster.jobs.pod_security import container_security
from podium.cluster.jobs.pod_volumes import (
    ANNOTATION_ARTIFACTS,
    ANNOTATION_INPUT,
    FOUND_VOLUME,
    Volumes,
    mount,
)
from podium.cluster.kube.views import COLLECTOR, FETCHER
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan

__all__ = [
    "ANNOTATION_ARTIFACTS",
    "ANNOTATION_INPUT",
    "COLLECTOR_START",
    "HELPER_COMMANDS",
    "IN_PATH",
    "IN_VOLUME",
    "OUT_PATH",
    "OUT_VOLUME",
    "Handover",
    "add_handover",
    "handover_of",
    "helper_container",
    "left_by",
    "needs_store",
]

AT_PATH = "/podium/at"
"""Where the collector has the directories that absolute outputs are in."""
INPUT_VOLUME, OUTPUT_VOLUME = "podium-input", "podium-output"
IN_VOLUME, OUT_VOLUME = "podium-in", "podium-out"
VALUES_VARIABLE = "PODIUM_VALUES"
HELPER_COMMANDS = {
    name: ["python3", "-P", "-m", f"podium.artifacts.{module}"]
    for name, module in ((COLLECTOR, "collector"), (FETCHER, "fetcher"))
}
COLLECTOR_START = [
    *("/bin/sh", "-c"),
    "until [ -e /tmp/podium-collects ]; do sleep 0.05; done",  # collector.READY, which loads long
]
"""Waits until the collector hears SIGTERM: a program that ends at once must not be overheard."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What becomes of the artifacts of an execution."""

    collects: bool = False
    """Whether its Pod has a collector: what it leaves is kept, or its values are in files."""
    fetches: bool = False
    keeps: bool = False
    """Whether what it leaves is kept."""
    task: Task = field(default_factory=lambda: Task("", "", ""))
    store: ArtifactStoreSpec | None = None
    """Of the run; None: the cluster's."""
    packed: tuple[str, ...] = ()
    """Its input, where the annotations of its Pod cannot carry it."""

    def __bool__(self) -> bool:
        return self.needs_store or bool(self.packed)

    @property
    def needs_store(self) -> bool:
        """Whether something of it comes from a store, or goes there."""
        return self.collects or self.fetches or self.task.carried is not None

    @property
    def is_input_annotated(self) -> bool:
        """Whether the annotations of its Pod have its input, or what of it is not in the store."""
        return not self.packed and self.task.carried is None

    @property
    def is_input_laid_out(self) -> bool:
        """Whether the fetcher writes the file with the input."""
        return bool(self.task.inputs) or not self.is_input_annotated

    @property
    def has_artifacts(self) -> bool:
        """Whether its program finds artifacts, or leaves some."""
        return self.keeps or self.fetches


def left_by(plan: Plan, states: Mapping[str, NodeState], node: str, delivered: Any) -> Found:
    """Return what the nodes left whose artifacts a node may find."""
    definition = plan.nodes[node].definition
    if not _fetches(plan, definition):
        return {}
    declared = definition.artifacts.in_ if definition.artifacts is not None else None
    names = (
        delivered
        if declared is None
        else {each.from_.rpartition(".")[0] for each in declared if each.outside is None}
    )
    return {
        name: left_in(states[name]) for name in names if states[name].status is NodeStatus.COMPLETED
    }


def _fetches(plan: Plan, node: Node) -> bool:
    if node.artifacts is not None and node.artifacts.in_ is not None:
        return bool(node.artifacts.in_)
    kept = plan.keeps_artifacts
    return bool(kept) and any(name in kept for name in plan.delivered(node.id))


def needs_store(plan: Plan, node: str) -> bool:
    """Return whether a node's Pod mounts the store, or may."""
    definition = plan.nodes[node].definition
    stores = node in plan.keeps_artifacts or bool(collected_files(definition))
    return stores or node in plan.given_large or _fetches(plan, definition)


def handover_of(
    run: str,
    plan: Plan,
    launch: Launch,
    found: Found,
    large: LargeValues = NONE_LARGE,
    packed: tuple[str, ...] = (),
    carried: Carried | None = None,
) -> Handover:
    """Return what becomes of the artifacts of an execution. Raises `BuildError`."""
    node = plan.nodes[launch.node].definition
    keeps, lays_out = node.id in plan.keeps_artifacts, _fetches(plan, node)
    fetches = lays_out or bool(large.inputs)
    values = tuple(collected_files(node))
    if not keeps and not fetches and not values and not packed and carried is None:
        return Handover()
    outputs = node.artifacts.out if keeps and node.artifacts is not None else []
    absolute = {
        path: (f"{AT_PATH}/{number}", below) for path, (number, _, below) in _outside(node).items()
    }
    task = Task(
        run=run,
        node=node.id,
        execution=launch.execution_id,
        outputs=tuple(Declared(o.name, o.path, o.optional, o.type) for o in outputs),
        absolute=absolute,
        wanted=tuple(_wanted(node, found)) if lays_out else (),
        outside=tuple(from_outside(node)),
        leaving=tuple(leaving(node)),
        values=values,
        retention=plan.spec.artifacts.retention_seconds if plan.spec.artifacts else None,
        asked=large.asked.dump() if large.asked is not None else None,
        inputs=large.inputs,
        carried=carried,
    )
    return Handover(keeps or bool(values), fetches, keeps, task, plan.spec.pinned_store, packed)


def _wanted(node: Node, found: Found) -> list[Wanted]:
    declared = node.artifacts.in_ if node.artifacts is not None else None
    if declared is None:
        return [
            Wanted(
                name, left.execution, left.digest, None, IN_PATH, name.rpartition(".")[2], left.run
            )
            for name, left in found.items()
        ]
    wanted = []
    for artifact in declared:
        source, _, name = artifact.from_.rpartition(".")
        if artifact.outside is not None:
            continue
        if source not in found:  # skipped, or its failure was let pass
            continue
        execution, digest, run = found[source]
        if not digest:
            message = f"{source}.{name} of {execution} was not kept: run {source} again"
            raise BuildError(NodeReason.DOWNLOAD, message)
        wanted.append(Wanted(source, execution, digest, name, *place_of(artifact), run))
    return wanted


def _outside(node: Node) -> dict[str, tuple[int, str, str]]:
    """Return for each absolute output: number and path of its directory, and its path below."""
    places: dict[str, int] = {}
    found = {}
    for output in node.artifacts.out if node.artifacts is not None else ():
        if output.path.startswith("/"):
            path = PurePosixPath(output.path)
            is_whole = output.type is ArtifactType.DIRECTORY
            inside = str(path if is_whole else path.parent)
            number = places.setdefault(inside, len(places))
            found[output.path] = number, inside, "" if is_whole else path.name
    return found


def add_handover(
    spec: dict[str, Any],
    annotations: dict[str, str],
    node: Node,
    namespace: str,
    handover: Handover,
    settings: Settings,
) -> None:
    """Add volumes and containers for artifacts to the `spec` of a Pod. Raises `BuildError`."""
    artifacts = settings.artifacts.of(handover.store)
    if handover.needs_store and not artifacts.has_store:
        message = (
            "it hands over artifacts, and this cluster has no store for them any more: set the"
            " chart's value artifacts.s3 or artifacts.pvc, or name an ArtifactStore in"
            " spec.artifacts.store"
        )
        raise BuildError(NodeReason.CONFIG, message)
    annotations[ANNOTATION_ARTIFACTS] = handover.task.dump()
    container = spec["containers"][0]
    pod = Volumes(spec, container, _scratch(artifacts))
    fetcher, collector = pod.task(), pod.task()
    is_claim = artifacts.pvc is not None and handover.needs_store
    if handover.needs_store:
        pod.volume(STORE_VOLUME, store_volume(artifacts))
        fetcher.append(mount(STORE_VOLUME, STORE_PATH))
        collector.append(mount(STORE_VOLUME, STORE_PATH, read_only=not is_claim))
    told = store_variables(namespace, artifacts) if handover.needs_store else {}
    helpers = []
    if handover.has_artifacts:
        pod.scratch(IN_VOLUME, IN_PATH, read_only=True)
        pod.scratch(OUT_VOLUME, OUT_PATH)
    if handover.collects:
        if handover.keeps:
            collector.append(mount(OUT_VOLUME, OUT_PATH))
        for number, inside, _ in _outside(node).values():
            name = f"podium-at-{number}"
            if pod.scratch(name, inside):
                collector.append(mount(name, f"{AT_PATH}/{number}"))
        if handover.task.asked is not None:
            collector.append(pod.shared(OUTPUT_VOLUME, OUTPUT_PATH))
        collector += [*pod.secrets(node, COLLECTOR), *pod.values(node)]
        helpers.append(helper_container(COLLECTOR, collector, told, artifacts, settings))
        if handover.task.values:
            count = str(len(handover.task.values))
            helpers[0]["env"].append({"name": VALUES_VARIABLE, "value": count})
        helpers[0]["restartPolicy"] = "Always"
        helpers[0]["lifecycle"] = {"postStart": {"exec": {"command": COLLECTOR_START}}}
        spec["terminationGracePeriodSeconds"] = artifacts.upload_seconds
    if handover.fetches or handover.is_input_laid_out:
        if handover.fetches:
            fetcher.append(mount(IN_VOLUME, IN_PATH, read_only=False))
        places = [(each.root, each.path) for each in handover.task.wanted]
        places += [(each.root, each.path) for each in handover.task.outside]
        if any(root == FOUND_PATH for root, _ in places):
            pod.volume(FOUND_VOLUME, _scratch(artifacts))
            fetcher.append(mount(FOUND_VOLUME, FOUND_PATH, read_only=False))
            pod.found(node, {path for _, path in places})
        if handover.is_input_laid_out:
            fetcher.append(pod.shared(INPUT_VOLUME, INPUT_PATH, read_only=True))
        if handover.task.inputs and handover.is_input_annotated:
            pod.add_input()
        fetcher += pod.secrets(node, FETCHER)
        told |= dict(zip(INPUT_VARIABLES, handover.packed, strict=False))
        helpers.append(helper_container(FETCHER, fetcher, told, artifacts, settings))
    spec["initContainers"] = helpers
    if is_claim:  # else each Pod would change the owner of every file in the store
        spec["securityContext"]["fsGroupChangePolicy"] = "OnRootMismatch"
    if artifacts.role and handover.needs_store:
        # Else a webhook gives every container the role that the ServiceAccount is bound to.
        annotations.setdefault("eks.amazonaws.com/skip-containers", container["name"])


def _scratch(artifacts: ArtifactSettings) -> dict[str, Any]:
    limit = artifacts.size_limit
    return {"emptyDir": {"sizeLimit": limit} if limit else {}}


def helper_container(
    name: str,
    mounts: list[dict[str, Any]],
    told: Mapping[str, str],
    artifacts: ArtifactSettings,
    settings: Settings,
) -> dict[str, Any]:
    """Return a container of Podium's own, with these mounts and variables."""
    env = dict(told)
    if name == COLLECTOR:
        env[UPLOAD_VARIABLE] = str(artifacts.upload_seconds)
    if artifacts.ca_bundle:
        env[AUTHORITIES_VARIABLE] = artifacts.ca_bundle
    if artifacts.allowed_hosts:
        env[HOSTS_VARIABLE] = json.dumps(artifacts.allowed_hosts)
    return {
        "name": name,
        "image": artifacts.image or settings.runner_image,
        "command": HELPER_COMMANDS[name],
        "env": [{"name": key, "value": value.replace("$", "$$")} for key, value in env.items()],
        **({"resources": artifacts.resources} if artifacts.resources else {}),
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
    }
