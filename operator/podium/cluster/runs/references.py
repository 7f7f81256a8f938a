"""Secrets and ConfigMaps that nodes name, and what the artifact store is made of.

They are looked at before a run starts, and before each launch. One that is missing is waited for as
long as a kubelet's refusal is; one that nodes may not use is never handed to a Pod.
"""

import asyncio
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.names import GROUP, compensation_path
from podium.api.reasons import NodeReason, RunReason
from podium.api.run import RecordedAnswers
from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.artifacts import needs_store
from podium.cluster.jobs.interpret import HOPELESS_SECONDS
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.views import dig
from podium.cluster.runs.active_run import ActiveRun, Waited
from podium.cluster.runs.named_objects import CLAIM, Reference, in_node, in_pod
from podium.cluster.runs.object_lookup import STORES, ObjectLookup, Seen, Unknown
from podium.cluster.settings import Settings
from podium.cluster.workqueue import backoff
from podium.engine import Hold, Plan, PlanNode
from podium.judge.slices import in_slices

__all__ = [
    "Finding",
    "ReferenceChecker",
    "wait_for_missing",
]

LABEL_USABLE = f"{GROUP}/usable"
LABEL_ANSWERS = f"{GROUP}/recorded-answers"
TOKEN_OF = "kubernetes.io/service-account.name"  # noqa: S105 - the name of an annotation
"""Annotation without which a Secret cannot be of the type service-account-token."""

MOST_OF_A_RUN = 1000
"""References that are looked at before a run starts; the rest are when their nodes start."""
RETRY_SECONDS = (1.0, 5.0)
MAX_LISTED = 5

_START = ""
"""In the place of an execution or request: the start of the run waits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a reference."""

    node: str
    field: str
    message: str
    reason: NodeReason | None = None
    """With which the node fails at once; None: waiting may help."""

    @property
    def is_final(self) -> bool:
        """Whether waiting does not help."""
        return self.reason is not None

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _in_nodes(
    plan: Plan,
    nodes: Collection[str],
    recorded: RecordedAnswers | None,
    store: Reference | None,
) -> Generator[None, None, list[tuple[str, Reference]]]:
    """Find the references of nodes whose failure is not allowed, with the nodes.

    `store` is what the artifact store is made of: it comes first.
    """
    found, of_store = [], []
    for name in nodes:
        around = (name, *plan.dag.around(name))
        if not any(plan.nodes[each].definition.allow_failure for each in around):
            found += [
                (name, reference) for reference in in_node(plan.nodes[name], recorded, plan.spec)
            ]
            undoing = plan.nodes.get(compensation_path(name))
            if undoing is not None:  # what it lacks must not be found when it is needed
                found += [(name, each) for each in _of_compensation(undoing, recorded, plan.spec)]
            if store is not None and needs_store(plan, name):
                of_store.append((name, store))
        yield
    return of_store + found


def _of_compensation(
    node: PlanNode, recorded: RecordedAnswers | None, spec: WorkflowSpec
) -> Iterator[Reference]:
    """Find what a compensation names: fields of its Pod are its node's."""
    for reference in in_node(node, recorded, spec):
        if not reference.field.startswith("pod."):
            field = f"compensation.{reference.field}"
            yield replace(reference, field=reference.field if reference.is_recorded else field)


class ReferenceChecker:
    """Looks at what nodes name."""

    def __init__(self, client: KubernetesClient, settings: Settings) -> None:
        self._objects = ObjectLookup(client, settings)
        self._settings = settings

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
        final = [finding for finding in findings if finding.is_final]
        if final:
            reason = final[0].reason or NodeReason.FORBIDDEN
            return Hold(reason, _told(final), _by_node(final)), None
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
        final = [finding for finding in findings if finding.is_final]
        wait = None if final else wait_for_missing(run, request)
        return _told(final or findings), wait

    async def check_nodes(
        self, run: ActiveRun, plan: Plan, nodes: Collection[str]
    ) -> list[Finding]:
        """Find what is wrong with what nodes name that are certain to start.

        One whose failure is allowed is left to fail by itself. Raises `ApiError`.
        """
        recorded = run.owner.recorded
        store = self._store_of(plan)
        found = await in_slices(_in_nodes(plan, nodes, recorded, store))
        if not found:
            return []
        certain = plan.certain_nodes()
        found = [(name, reference) for name, reference in found if name in certain]
        first = list(dict.fromkeys((each.kind, each.name) for _, each in found))[:MOST_OF_A_RUN]
        kept = set(first)
        return await self._check(
            run.owner.namespace,
            [(name, each) for name, each in found if (each.kind, each.name) in kept],
            plan.spec.pinned_store,
        )

    def _store_of(self, plan: Plan) -> Reference | None:
        """Return what the store of a run is made of; None: there is nothing to look at."""
        artifacts = self._settings.artifacts.of(plan.spec.pinned_store)
        field = "artifacts" if plan.spec.pinned_store is None else "spec.artifacts.store"
        if artifacts.claim:
            return Reference(CLAIM, artifacts.claim, field, is_store=True)
        if artifacts.secret:
            return Reference("Secret", artifacts.secret, field, is_store=True)
        return None

    # Before a launch

    async def check_pod(self, run: ActiveRun, name: str, spec: Mapping[str, Any]) -> list[Finding]:
        """Find what is wrong with what a Pod names. Raises `ApiError`."""
        found = list(in_pod(spec))
        if not found:
            return []
        plan = run.engine.plan
        node = plan.node(name)
        own = () if node is None else in_node(node, run.owner.recorded, plan.spec)
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
        store = run.engine.plan.spec.pinned_store
        return await self._check(run.owner.namespace, [(name, each) for each in named], store)

    # Looking

    async def _check(
        self,
        namespace: str,
        references: Sequence[tuple[str, Reference]],
        store: ArtifactStoreSpec | None = None,
    ) -> list[Finding]:
        """Look at each object once, side by side. `store` is that of the run, if it has one."""
        # A claim that is missing the scheduler waits for; that of a store is Podium's affair.
        objects = list(
            dict.fromkeys(
                (each.kind, each.name)
                for _, each in references
                if each.kind != CLAIM or each.is_store
            )
        )
        looks = await asyncio.gather(*(self._objects.look(namespace, *each) for each in objects))
        seen = dict(zip(objects, looks, strict=True))
        stores = await self._stores(namespace, references, store)
        findings = []
        for node, reference in references:
            look = seen.get((reference.kind, reference.name), Unknown.UNCHECKED)
            finding = self._judge(namespace, node, reference, look, stores, store)
            if finding is not None:
                findings.append(finding)
        return findings

    async def _stores(
        self,
        namespace: str,
        references: Sequence[tuple[str, Reference]],
        store: ArtifactStoreSpec | None,
    ) -> Collection[tuple[str, str]]:
        """Return kind and name of what the stores of a namespace are made of."""
        kinds = (CLAIM, "Secret")
        if all(each.is_store or each.kind not in kinds for _, each in references):
            return ()
        known = self._settings.artifacts, self._settings.artifacts.of(store)
        found = {("Secret", each.secret) for each in known} | {
            (CLAIM, each.claim) for each in known
        }
        seen = await self._objects.look(namespace, STORES, "*")
        if isinstance(seen, Mapping):
            found.update(seen["parts"])
        return found

    def _judge(
        self,
        namespace: str,
        node: str,
        reference: Reference,
        seen: Seen,
        stores: Collection[tuple[str, str]],
        store: ArtifactStoreSpec | None,
    ) -> Finding | None:
        kind, name = reference.kind, reference.name
        if reference.is_store and isinstance(seen, Mapping):
            return self._judge_store(store, node, reference, seen)
        if seen is Unknown.MISSING:
            if reference.optional:
                return None
            message = f"there is no {kind} {name!r} in the namespace {namespace}: create it"
            return Finding(node, reference.field, message)
        words = ""
        if reference.is_store:
            return None
        if (kind, name) in stores:
            is_claim = kind == CLAIM
            words = f"it {'is' if is_claim else 'holds the credentials of'} the artifact store"
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
        if seen is Unknown.UNCHECKED and kind != CLAIM:
            words += ", which the operator may not look at (chart value referenceChecks)"
        message = f"nodes may not use the {kind} {name!r}: {words}"
        return Finding(node, reference.field, message, NodeReason.FORBIDDEN)

    def _judge_store(
        self,
        store: ArtifactStoreSpec | None,
        node: str,
        reference: Reference,
        seen: Mapping[str, Any],
    ) -> Finding | None:
        """Return what is wrong with the claim of a store; of a Secret only the keys could be."""
        pvc = self._settings.artifacts.of(store).pvc
        modes = dig(seen, "accessModes") or []
        if reference.kind != CLAIM or pvc is None or pvc.single_node or "ReadWriteMany" in modes:
            return None
        what = "the chart's value artifacts.pvc.singleNode"
        if store is not None:
            what = "pvc.singleNode of the ArtifactStore"
        message = (
            f"the {CLAIM} {reference.name!r} is the artifact store and not ReadWriteMany: Pods on"
            f" other machines would hang; make one that is, or set {what} where there is only one"
            " machine"
        )
        return Finding(node, reference.field, message, NodeReason.CONFIG)


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


def _label(seen: Seen, label: str) -> Any:
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
