"""The cluster, as the cases drive it: objects and annotations, as a user of kubectl makes them."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from kubernetes import client, config

from tests.conformance.harness import ENDED, STEP_SECONDS, Case

GROUP, VERSION = "podium.dev", "v1alpha1"
PLURALS = {
    "Workflow": "workflows",
    "WorkflowRun": "workflowruns",
    "Executor": "executors",
    "ContractSchema": "contractschemas",
    "Persona": "personas",
    "ModelConfig": "modelconfigs",
}
REFUSED = ("RerunRefused", "RestoreRefused", "ApprovalRefused")
PERSON, GROUPS = "alice", "release"
"""Who decides about approvals; the operator of the cases takes the names for verified."""
RERUN, CASCADE, RESTORE = (
    f"{GROUP}/{name}" for name in ("rerun", "rerun-cascade", "restore")
)  # fmt: skip


def connect() -> client.ApiClient:
    """Connect as the current context of KUBECONFIG says."""
    return config.new_client_from_config()


class ClusterShell:
    """One run of a case in a namespace."""

    poll = 0.25

    @property
    def address(self) -> str:
        from tests.buckets import address_for  # noqa: PLC0415 - few cases need it

        return address_for(connect())

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._rbac = client.RbacAuthorizationV1Api(api)
        self._namespace = namespace
        self._name = ""

    async def start(self, case: Case) -> None:
        earlier = case.earlier
        for document in (*(each for each in case.documents if each not in earlier), *earlier):
            if document["kind"] == "WorkflowRun" and document == case.run:
                continue
            if document["kind"] == "ConfigMap":
                self._core.create_namespaced_config_map(self._namespace, document)
            else:
                self._custom.create_namespaced_custom_object(
                    GROUP, VERSION, self._namespace, PLURALS[document["kind"]], document
                )
        for each in earlier:
            self._name = each["metadata"]["name"]
            for _ in range(round(STEP_SECONDS / self.poll)):
                if (await self.status()).get("phase") in ENDED:
                    break
                await asyncio.sleep(self.poll)
        self._name = case.name
        self._custom.create_namespaced_custom_object(
            GROUP, VERSION, self._namespace, PLURALS["WorkflowRun"], case.run
        )

    async def status(self) -> dict[str, Any]:
        return self._run().get("status", {})

    def _run(self) -> dict[str, Any]:
        return self._custom.get_namespaced_custom_object(
            GROUP, VERSION, self._namespace, "workflowruns", self._name
        )

    async def control(self, **asked: bool) -> None:
        self._patch({"spec": asked})

    async def rerun(self, request: dict[str, Any]) -> None:
        """Ask in the short form where that says it all, so that the cases go through both."""
        if set(request) <= {"nodes", "cascade"}:
            asked = {RERUN: ",".join(request["nodes"])}
            if "cascade" in request:
                asked[CASCADE] = str(request["cascade"]).lower()
        else:
            asked = {RERUN: json.dumps(request)}
        self._patch({"metadata": {"annotations": asked}})

    async def restore(self, version: int) -> None:
        self._patch({"metadata": {"annotations": {RESTORE: str(version)}}})

    async def approve(self, decision: dict[str, Any]) -> None:
        """Decide as a person who may, whom the policies of an installed chart take for that."""
        self._let_them_approve()
        api = connect()
        api.set_default_header("Impersonate-User", PERSON)
        api.set_default_header("Impersonate-Group", GROUPS)
        asked = {
            f"{GROUP}/approve": json.dumps({"decision": "Approve", **decision}),
            f"{GROUP}/approved-by": PERSON,
            f"{GROUP}/approved-groups": GROUPS,
        }
        custom, place = client.CustomObjectsApi(api), (GROUP, VERSION, self._namespace)
        change = {"metadata": {"annotations": asked}}
        for is_last in (*[False] * 60, True):
            try:
                custom.patch_namespaced_custom_object(*place, "workflowruns", self._name, change)
            except client.ApiException as error:
                if is_last or "cannot patch resource" not in (error.body or ""):
                    raise
                await asyncio.sleep(0.5)  # the API server does not know the Role yet
            else:
                return

    def _let_them_approve(self) -> None:
        rules = [
            {"apiGroups": [GROUP], "resources": ["workflowruns"], "verbs": ["get", "patch"]},
            {"apiGroups": [GROUP], "resources": ["workflowruns/approve"], "verbs": ["approve"]},
        ]
        metadata = {"name": "approvers"}
        group = {"kind": "Group", "name": GROUPS, "apiGroup": "rbac.authorization.k8s.io"}
        role = {"kind": "Role", "name": "approvers", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": metadata, "subjects": [group], "roleRef": role}
        for make, body in (
            (self._rbac.create_namespaced_role, {"metadata": metadata, "rules": rules}),
            (self._rbac.create_namespaced_role_binding, binding),
        ):
            with suppress(client.ApiException):  # another case did it
                make(self._namespace, body)

    def _patch(self, change: dict[str, Any]) -> None:
        self._custom.patch_namespaced_custom_object(
            GROUP, VERSION, self._namespace, "workflowruns", self._name, change
        )

    async def apply(self, spec: dict[str, Any]) -> None:
        place = (GROUP, VERSION, self._namespace, "workflows", self._name)
        while True:
            workflow = self._custom.get_namespaced_custom_object(*place)
            try:
                self._custom.replace_namespaced_custom_object(*place, {**workflow, "spec": spec})
            except client.ApiException as error:
                if error.status != 409:  # the operator wrote its status meanwhile
                    raise
            else:
                return

    async def delete_executor(self, name: str) -> None:
        self._custom.delete_namespaced_custom_object(
            GROUP, VERSION, self._namespace, "executors", name
        )

    async def delete_run(self, name: str) -> None:
        self._custom.delete_namespaced_custom_object(
            GROUP, VERSION, self._namespace, "workflowruns", name
        )

    async def pending(self) -> bool:
        # The operator takes the annotations away once the status says that they were carried out.
        annotations = self._run()["metadata"].get("annotations", {})
        return any(name.startswith(f"{GROUP}/") for name in annotations)

    async def refused(self) -> list[str]:
        events = self._core.list_namespaced_event(
            self._namespace, field_selector=f"involvedObject.name={self._name}"
        )
        return [event.message for event in events.items if event.reason in REFUSED]

    async def close(self) -> None:
        """Leave it for the end of the namespace, for whoever looks into a failure."""
