"""Single requests in the name of users: a hundred of them take as long as one call of kubectl."""

import json
from dataclasses import dataclass

from kubernetes.client.exceptions import ApiException

from tests.conformance.cluster_shell import connect

PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ControllerRevision": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "WorkflowRun": "/apis/podium.dev/v1alpha1/namespaces/{}/workflowruns",
    "WorkflowRunNodes": "/apis/podium.dev/v1alpha1/namespaces/{}/workflowrunnodes",
    "ContractSchema": "/apis/podium.dev/v1alpha1/namespaces/{}/contractschemas",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Answer:
    """What a request came to, in the words of a process: 0 and the object, or 1 and the error."""

    returncode: int
    stderr: str
    body: dict | None = None


class RequestsAs:
    """Makes requests."""

    def __init__(self):
        self._api = connect()

    def __call__(self, method, path, body=None, user=None, dry_run=False, content=None, group=None):
        headers = {"Accept": "application/json", "Content-Type": content or "application/json"}
        if user:
            headers["Impersonate-User"] = user
        if group:
            headers["Impersonate-Group"] = group
        asked = self._api.param_serialize(
            method,
            path,
            header_params=headers,
            query_params=[("dryRun", "All")] if dry_run else [],
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(*asked).read()
        except ApiException as error:
            return _refusal(error)
        found = json.loads(answer)
        if found.get("kind") == "Status" and found.get("status") == "Failure":
            return Answer(1, found["message"])
        return Answer(0, "", found)

    def create(self, namespace, thing, user=None, dry_run=False):
        path = PATHS[thing["kind"]].format(namespace)
        return self("POST", path, thing, user, dry_run)

    def patch(self, namespace, kind, name, change, user=None, dry_run=False, group=None):
        path = f"{PATHS[kind].format(namespace)}/{name}"
        content = JSON_PATCH if isinstance(change, list) else MERGE
        return self("PATCH", path, change, user, dry_run, content, group)

    def update(self, namespace, kind, name, change, user=None, dry_run=False):
        """Read, change by a function, and write; again where a controller wrote in between."""
        path = f"{PATHS[kind].format(namespace)}/{name}"
        for _ in range(10):
            body = self("GET", path).body
            change(body)
            done = self("PUT", path, body, user, dry_run)
            if "the object has been modified" not in done.stderr:
                break
        return done

    def delete(self, namespace, kind, name, user=None, dry_run=False):
        path = f"{PATHS[kind].format(namespace)}/{name}"
        return self("DELETE", path, None, user, dry_run)


def _refusal(error):
    try:
        return Answer(1, json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return Answer(1, str(error))
