"""Secrets and ConfigMaps that nodes name: looked at before a run starts, and before each launch.

Only their metadata is asked for, so nothing of what they hold reaches the operator. One that is
missing is waited for as long as a kubelet's refusal is; one that nodes may not use is never handed
to a Pod.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from podium import executors
from podium.api.names import GROUP
from podium.api.reasons import NodeReason, RunReason
from podium.api.run import RecordedAnswers
from podium.api.workflow import PodOverrides
from podium.cluster.jobs.artifacts import STORE_VOLUME
from podium.cluster.jobs.interpret import HOPELESS_SECONDS
from podium.cluster.jobs.outside import source_secrets, target_secrets
from podium.cluster.jobs.pod_template import RECORDED_VOLUME
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig
from podium.cluster.runs.active_run import ActiveRun, Waited
from podium.cluster.settings import Settings
from podium.cluster.workqueue import backoff
from podium.engine import Hold, Plan, PlanNode
from podium.judge.slices import in_slices

__all__ = [
    "Finding",
    "Reference",
    "ReferenceChecker",
    "in_node",
    "in_pod",
    "wait_for_missing",
]

log = logging.getLogger(__name__)

LABEL_USABLE = f"{GROUP}/usable"
LABEL_ANSWERS = f"{GROUP}/recorded-answers"
TOKEN_OF = "kubernetes.io/service-account.name"  # noqa: S105 - the name of an annotation
"""Annotation without which a Secret cannot be of the type service-account-token."""

KEEP_SECONDS = 1.0
"""How long what was seen of an object counts: nodes that start together share one request."""
MOST_KEPT = 5000
MOST_OF_A_RUN = 1000
"""References that are looked at before a run starts; the rest are when their nodes start."""
AT_A_TIME = 16
RETRY_SECONDS = (1.0, 5.0)
MAX_LISTED = 5
LONGEST_NAME = 253

_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}
_KEYS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
_WHOLE = {"secret": "Secret", "configMap": "ConfigMap"}
"""Kinds, by the field that names one."""
_START = ""
"""In the place of an execution or request: the start of the run waits."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A Secret or ConfigMap that a node, or its Pod, names."""

    kind: str
    name: str
    field: str
    optional: bool = False
    is_recorded: bool = False
    """Whether it holds recorded answers."""
    is_store: bool = False
    """Whether it is what the artifact store's own volume is made of."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a reference."""

    node: str
    field: str
    message: str
    is_forbidden: bool = False
    """Whether waiting does not help."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class _Unknown(Enum):
    MISSING = 1
    UNCHECKED = 2
    """The operator may not look at it."""


_Seen = Mapping[str, Any] | _Unknown
"""Metadata of an object, or why there is none."""


def in_node(node: PlanNode, recorded: RecordedAnswers | None) -> Iterator[Reference]:
    """Find the references of a node's definition; templates are filled in later."""
    if not node.kind.has_execution:
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


def _in_nodes(
    plan: Plan, nodes: Collection[str], recorded: RecordedAnswers | None
) -> Generator[None, None, list[tuple[str, Reference]]]:
    """Find the references of nodes whose failure is not allowed, with the nodes."""
    found = []
    for name in nodes:
        if not plan.nodes[name].definition.allow_failure:
            found += [(name, reference) for reference in in_node(plan.nodes[name], recorded)]
        yield
    return found


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
        name = dig(source, key, "secretName") if key == "secret" else None
        name = dig(source, key, "name") if name is None else name
        if isinstance(name, str) and "${{" not in name:
            optional = dig(source, key, "optional") is True
            yield Reference(kind, name, f"{where}.{key}", optional, recorded, store)


class ReferenceChecker:
    """Looks at what nodes name."""

    def __init__(self, client: KubernetesClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._kept: dict[tuple[str, str, str], tuple[float, asyncio.Task[_Seen]]] = {}
        self._at_a_time = asyncio.Semaphore(AT_A_TIME)
        self._told: set[str] = set()

    # Before a run, or what is run again of it

    async def hold(self, run: ActiveRun) -> tuple[Hold | None, float | None]:
        """Return why a run must not begin, and the seconds until it is to be asked again.

        Raises `ApiError`.
        """
        states = run.engine.status.nodes
        nodes = [name for name in run.engine.plan.nodes if not states[name].status.ended]
        findings = await self.check_nodes(run, run.engine.plan, nodes)
        if not findings:
            run.missing.pop(_START, None)
            return None, None
        forbidden = [finding for finding in findings if finding.is_forbidden]
        if forbidden:
            return Hold(NodeReason.FORBIDDEN, _told(forbidden), _by_node(forbidden)), None
        wait = wait_for_missing(run, _START)
        if wait is None:
            return Hold(NodeReason.CONFIG, _told(findings), _by_node(findings)), None
        return Hold(RunReason.REFERENCE_NOT_FOUND, _told(findings)), wait

    async def hold_request(
        self, run: ActiveRun, request: str, plan: Plan, nodes: Collection[str]
    ) -> tuple[str, float | None]:
        """Return why nodes must not run again (empty: they may), and when to ask again.

        None: it is refused for good. Raises `ApiError`.
        """
        findings = await self.check_nodes(run, plan, nodes)
        if not findings:
            run.missing.pop(request, None)
            return "", None
        forbidden = [finding for finding in findings if finding.is_forbidden]
        wait = None if forbidden else wait_for_missing(run, request)
        return _told(forbidden or findings), wait

    async def check_nodes(
        self, run: ActiveRun, plan: Plan, nodes: Collection[str]
    ) -> list[Finding]:
        """Find what is wrong with what nodes name that are certain to start.

        One whose failure is allowed is left to fail by itself. Raises `ApiError`.
        """
        recorded = run.owner.recorded
        found = await in_slices(_in_nodes(plan, nodes, recorded))
        if secret := self._settings.store_secret:
            store = Reference("Secret", secret, "artifacts", is_store=True)
            keeps = [name for name in nodes if name in plan.keeps_artifacts]
            found += [
                (name, store) for name in keeps if not plan.nodes[name].definition.allow_failure
            ]
        if not found:
            return []
        certain = plan.certain_nodes()
        found = [(name, reference) for name, reference in found if name in certain]
        first = list(dict.fromkeys((each.kind, each.name) for _, each in found))[:MOST_OF_A_RUN]
        kept = set(first)
        return await self._check(
            run.owner.namespace,
            [(name, each) for name, each in found if (each.kind, each.name) in kept],
        )

    # Before a launch

    async def check_pod(self, run: ActiveRun, name: str, spec: Mapping[str, Any]) -> list[Finding]:
        """Find what is wrong with what a Pod names. Raises `ApiError`."""
        found = list(in_pod(spec))
        if not found:
            return []
        node = run.engine.plan.nodes.get(name)
        own = () if node is None else in_node(node, run.owner.recorded)
        fields = {(each.kind, each.name): each.field for each in own}
        named = [
            Reference(
                each.kind,
                each.name,
                fields.get((each.kind, each.name), f"its Pod's {each.field}"),
                each.optional,
                each.is_recorded,
                each.is_store,
            )
            for each in found
        ]
        return await self._check(run.owner.namespace, [(name, each) for each in named])

    # Looking

    async def _check(
        self, namespace: str, references: Sequence[tuple[str, Reference]]
    ) -> list[Finding]:
        """Look at each object once, side by side."""
        objects = list(dict.fromkeys((each.kind, each.name) for _, each in references))
        looks = await asyncio.gather(*(self._look(namespace, *each) for each in objects))
        seen = dict(zip(objects, looks, strict=True))
        findings = []
        for node, reference in references:
            finding = self._judge(namespace, node, reference, seen[reference.kind, reference.name])
            if finding is not None:
                findings.append(finding)
        return findings

    def _judge(
        self, namespace: str, node: str, reference: Reference, seen: _Seen
    ) -> Finding | None:
        kind, name = reference.kind, reference.name
        is_store = kind == "Secret" and name == self._settings.store_secret
        if seen is _Unknown.MISSING:
            if reference.optional:
                return None
            message = f"there is no {kind} {name!r} in the namespace {namespace}: create it"
            return Finding(node, reference.field, message)
        words = ""
        if is_store and reference.is_store:
            return None
        if is_store:
            words = "it holds the credentials of the artifact store"
        elif reference.is_recorded and _label(seen, LABEL_ANSWERS) != "true":
            words = f'of ConfigMaps only those with the label {LABEL_ANSWERS}: "true" are read'
        elif kind == "Secret" and dig(seen, "annotations", TOKEN_OF) is not None:
            words = (
                "it holds the token of a ServiceAccount: use pod.serviceAccountName with a"
                ' ServiceAccount that carries the label podium.dev/usable: "true"'
            )
        elif (
            kind == "Secret"
            and self._settings.require_usable_secrets
            and _label(seen, LABEL_USABLE) != "true"
        ):
            words = f'it would have to carry the label {LABEL_USABLE}: "true"'
        if not words:
            return None
        if seen is _Unknown.UNCHECKED:
            words += ", which the operator may not look at (chart value referenceChecks)"
        message = f"nodes may not use the {kind} {name!r}: {words}"
        return Finding(node, reference.field, message, is_forbidden=True)

    async def _look(self, namespace: str, kind: str, name: str) -> _Seen:
        if not self._settings.reference_checks:
            return _Unknown.UNCHECKED
        if not name or len(name) > LONGEST_NAME:
            return _Unknown.MISSING
        key, now = (namespace, kind, name), time.monotonic()
        known = self._kept.get(key)
        if known is None or known[0] <= now:
            if len(self._kept) >= MOST_KEPT:
                self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now}
            task = asyncio.get_running_loop().create_task(self._ask(*key))
            task.add_done_callback(lambda done: self._answered(key, done))
            known = self._kept[key] = (now + KEEP_SECONDS, task)
        return await asyncio.shield(known[1])  # who waits may be cancelled, others wait as well

    def _answered(self, key: tuple[str, str, str], task: asyncio.Task[_Seen]) -> None:
        if (task.cancelled() or task.exception() is not None) and (
            self._kept.get(key, (0, None))[1] is task
        ):
            del self._kept[key]

    async def _ask(self, namespace: str, kind: str, name: str) -> _Seen:
        try:
            async with self._at_a_time:
                body = await self._client.get_metadata(namespace, _PLURALS[kind], name)
        except ApiError as error:
            if error.status == 403:
                if kind not in self._told:
                    self._told.add(kind)
                    log.warning("%ss that nodes name are not checked: %s", kind, error)
                return _Unknown.UNCHECKED
            if error.transient or error.status == 401:
                raise
            return _Unknown.MISSING
        metadata = body.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}


def wait_for_missing(run: ActiveRun, key: str) -> float | None:
    """Return the seconds after which what is missing is looked for again; None: no longer.

    `key`: the execution, or the request, that waits for it.
    """
    now = time.monotonic()
    waited = run.missing.setdefault(key, Waited(now))
    left = waited.since + HOPELESS_SECONDS - now
    if left <= 0:
        del run.missing[key]
        return None
    if waited.until <= now:  # another turn may have come meanwhile
        waited.times += 1
        waited.until = now + min(backoff(waited.times, RETRY_SECONDS), left)
    return waited.until - now


def _label(seen: _Seen, label: str) -> Any:
    return dig(seen, "labels", label)


def _told(findings: Sequence[Finding]) -> str:
    texts = [f"node {finding.node}: {finding}" for finding in findings]
    more = len(texts) - MAX_LISTED
    return "; ".join(texts[:MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")


def _by_node(findings: Sequence[Finding]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for finding in findings:
        found.setdefault(finding.node, []).append(str(finding))
    return {node: "; ".join(texts[:MAX_LISTED]) for node, texts in found.items()}


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dumped
