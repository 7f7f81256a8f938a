"""kubernetes: create, apply, patch or delete an object, and wait for what becomes of it.

It has the rights of the ServiceAccount that the node names, and no others.
"""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from podium import contracts
from podium.api.reasons import NodeReason
from podium.runner.program import ProgramError, variable
from podium.runner.requests import Answer, request

__all__ = ["Server", "kubernetes_object"]

REFUSED, WAITED = "Refused", "WaitTimeout"
MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_BYTES = 8 * 1024 * 1024
SECONDS = 30
WAIT_SECONDS = 300
POLL_SECONDS = 1.0
_PATCHES = {
    "Merge": "application/merge-patch+json",
    "Strategic": "application/strategic-merge-patch+json",
}


@dataclass
class Server:
    """The API server, as a Pod finds it."""

    url: str
    token: Path
    namespace: str
    context: ssl.SSLContext | None = None
    _plurals: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)

    @classmethod
    def of_pod(cls) -> "Server":
        """Return the server of this Pod's cluster. Raises `ProgramError`."""
        try:
            namespace = (MOUNT / "namespace").read_text().strip()
            context = ssl.create_default_context(cafile=str(MOUNT / "ca.crt"))
        except OSError:
            message = (
                "no token of a ServiceAccount is mounted: this executor runs on a cluster only"
            )
            raise ProgramError(NodeReason.CONFIG, message) from None
        host, port = variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", MOUNT / "token", namespace, context)

    def call(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Answer:
        """Make a request. Raises `ProgramError`."""
        headers = {
            "authorization": f"Bearer {self.token.read_text().strip()}",  # it is renewed
            "accept": "application/json",
            "content-type": kind,
        }
        return request(
            method,
            self.url + path,
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            seconds=SECONDS,
            context=self.context,
            most=MAX_BYTES,
        )

    def path_of(self, target: Mapping[str, Any]) -> tuple[str, str]:
        """Return the paths of an object's collection and of itself. Raises `ProgramError`."""
        version, kind = str(target["apiVersion"]), str(target["kind"])
        meta = target.get("metadata") or {}
        group = "/".join(quote(part, safe="") for part in version.split("/", 1))
        base = f"/api/{group}" if "/" not in version else f"/apis/{group}"
        plural, is_namespaced = self._plural(base, version, kind)
        if is_namespaced:
            namespace = str(meta.get("namespace") or self.namespace)
            base = f"{base}/namespaces/{quote(namespace, safe='')}"
        collection = f"{base}/{plural}"
        return collection, f"{collection}/{quote(str(meta.get('name') or ''), safe='')}"

    def _plural(self, base: str, version: str, kind: str) -> tuple[str, bool]:
        known = self._plurals.get((version, kind))
        if known is None:
            listed = _object(self.call("GET", base), f"apiVersion {version}")
            for each in listed.get("resources") or ():
                if each.get("kind") == kind and "/" not in each.get("name", "/"):
                    known = str(each["name"]), bool(each.get("namespaced"))
        if known is None:
            message = f"object.kind: the cluster has no kind {kind!r:.80} in {version!r:.80}"
            raise ProgramError(NodeReason.CONFIG, message)
        self._plurals[version, kind] = known
        return known


def kubernetes_object(
    config: Mapping[str, Any], server: Server | None = None, sleep: Any = time.sleep
) -> Mapping[str, Any]:
    """Do what a config asks for, and wait. Raises `ProgramError`."""
    server = server or Server.of_pod()
    target, action = config["object"], config["action"]
    name = (target.get("metadata") or {}).get("name")
    if not name and not (action == "create" and (target.get("metadata") or {}).get("generateName")):
        raise ProgramError(NodeReason.CONFIG, "object.metadata.name: is missing")
    collection, path = server.path_of(target)
    what = f"{target['kind']} {name or 'with a generated name'}"
    match action:
        case "create":
            found = _object(server.call("POST", collection, target), what)
        case "apply":
            query = "?fieldManager=podium-node&force=true"
            kind = "application/apply-patch+yaml"
            found = _object(server.call("PATCH", path + query, target, kind), what)
        case "patch":
            patch = config.get("patch")
            if not isinstance(patch, Mapping):
                raise ProgramError(NodeReason.CONFIG, "patch: is missing: write the changed fields")
            kind = _PATCHES[config["patchType"]]
            found = _object(server.call("PATCH", path, patch, kind), what)
        case _:
            answer = server.call("DELETE", path)
            # One that is not there is what was asked for, also after a try that was cut off.
            found = target if answer.status == 404 else _object(answer, what)
    made = found.get("metadata") or {}
    if not name:
        _, path = server.path_of(
            {**target, "metadata": {**target["metadata"], "name": made["name"]}}
        )
    if (wait := config.get("wait")) is not None:
        found = _wait(server, path, wait, str(made.get("uid") or ""), sleep) or found
    meta = found.get("metadata") or {}
    output = {key: meta[key] for key in ("name", "namespace", "uid") if key in meta}
    output |= {"apiVersion": target["apiVersion"], "kind": target["kind"]}
    if select := config.get("select"):
        output["selected"] = _at(found, select)
    return output


def _wait(
    server: Server, path: str, wait: Mapping[str, Any], uid: str, sleep: Any
) -> Mapping[str, Any] | None:
    """Wait for a condition, a value or the end of an object; None: it is gone."""
    seconds = left = float(wait.get("timeoutSeconds", WAIT_SECONDS))
    while True:
        answer = server.call("GET", path)
        found = None if answer.status == 404 else _object(answer, path)
        if found is not None and uid and (found.get("metadata") or {}).get("uid") != uid:
            found = None  # another one of that name
        if wait.get("deleted"):
            if found is None:
                return None
            seen = "it is still there"
        elif found is None:
            raise ProgramError(WAITED, "the object that is waited for was deleted")
        else:
            seen, is_met = _state(found, wait)
            if is_met:
                return found
        if left <= 0:
            raise ProgramError(WAITED, f"after {seconds:g} seconds: {seen}")
        sleep(min(POLL_SECONDS, left))
        left -= POLL_SECONDS


def _state(found: Mapping[str, Any], wait: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what is seen of what is waited for, in words, and whether it is met."""
    if "condition" in wait:
        conditions = (found.get("status") or {}).get("conditions") or ()
        seen = {str(each.get("type")): str(each.get("status")) for each in conditions}
        status = seen.get(wait["condition"], "missing")
        return f"the condition {wait['condition']} is {status}", status == wait.get(
            "status", "True"
        )
    if "path" in wait:
        value = _at(found, wait["path"])
        return f"{wait['path']} is {value!r:.200}", value == wait.get("value")
    return "", True


def _at(found: Mapping[str, Any], path: str) -> Any:
    try:
        return contracts.get_path(found, path)
    except KeyError:
        return None


def _object(answer: Answer, what: str) -> Mapping[str, Any]:
    """Return the object of an answer. Raises `ProgramError` with what the server said."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if answer.status < 300:
        return found
    message = str(found.get("message") or "the server said no more")
    reason = REFUSED if answer.status in (400, 403, 404, 409, 422) else "Unreachable"
    raise ProgramError(reason, f"{what}: {answer.status}: {message:.800}")
