"""What was saved of a release: read, and put into another namespace as if it had been made there."""

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from podium.cluster.jobs.builder import build_pod, job_name
from podium.cluster.jobs.map_job import _pod_name as item_pod_name
from podium.cluster.jobs.map_job import map_name
from podium.cluster.kube.views import LABEL_INDEX
from tests.cluster.kwok import LABEL

STATES = Path(__file__).parent / "states"
LARGE = STATES / "large"
"""Of runs whose nodes stand in shards."""
MAPS = STATES / "maps"
"""Of a run with a map, some of whose items have ended."""
LARGE_OUTPUTS = STATES / "large-outputs"
"""Of a run with outputs that rest in a store."""
PODS = 20
"""Of one Job, at most."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class State:
    """One file."""

    version: str
    saved_at: float
    """In seconds since 1970."""
    items: list[dict]

    def of(self, kind):
        return [item for item in self.items if item["kind"] == kind]


def versions(directory=STATES):
    return sorted(path.stem for path in directory.glob("*.yaml"))


def load(version, directory=STATES):
    data = yaml.safe_load((directory / f"{version}.yaml").read_text())
    return State(version, datetime.fromisoformat(data["savedAt"]).timestamp(), data["items"])


def write(path, version, items):
    """Write what the server had, without what says nothing."""
    for item in items:
        item["metadata"].pop("managedFields", None)
        item["metadata"].get("annotations", {}).pop(
            "kubectl.kubernetes.io/last-applied-configuration", None
        )
    path.parent.mkdir(exist_ok=True)
    saved = {"version": version, "savedAt": datetime.now(UTC).isoformat(), "items": items}
    head = "# By `python -m tests.upgrade`. Never changed: a newer operator must cope with it.\n"
    path.write_text(head + yaml.safe_dump(saved, sort_keys=False, allow_unicode=True, width=100))


def restore(state, k, machines):
    """Make the objects of a state in a namespace, on these fake machines.

    The server gives new UIDs, from which the names of Jobs follow; times move on as if they had
    been saved now.
    """
    names = {}
    """What is replaced wherever it stands."""
    later = time.time() - state.saved_at
    own = machines.pod_defaults["nodeSelector"][LABEL]

    def now(item):
        text = json.dumps(item)
        # The name of a Pod begins with that of its Job.
        for old in sorted(names, key=len, reverse=True):
            text = text.replace(old, names[old])
        made = json.loads(_TIME.sub(lambda found: _moved(found[0], later), text))
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace"):
            made["metadata"].pop(field, None)
        return made

    def make(item):
        body = now(item)
        status = body.pop("status", None)
        answer = json.loads(k("create", "-f", "-", "-o", "json", stdin=body).stdout)
        names[item["metadata"]["uid"]] = answer["metadata"]["uid"]
        if status and item["kind"] in ("WorkflowRun", "Job", "Pod"):
            patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
            k("patch", item["kind"], body["metadata"]["name"], "--subresource=status",
              "--type=json", "-p", patch)  # fmt: skip
        return answer

    pods = state.of("Pod")
    for machine in {pod["spec"]["nodeName"] for pod in pods}:
        names[machine] = machines.nodes[0]
    for pod in pods:
        names[pod["spec"]["nodeSelector"][LABEL]] = own
    for kind in ("Workflow", "ControllerRevision", "WorkflowRun", "WorkflowRunNodes"):
        for item in state.of(kind):
            make(item)
    runs = {run["metadata"]["uid"]: run["metadata"]["name"] for run in state.of("WorkflowRun")}
    for job in state.of("Job"):
        name = runs[job["metadata"]["ownerReferences"][0]["uid"]]
        uid = names[job["metadata"]["ownerReferences"][0]["uid"]]
        notes = job["metadata"]["annotations"]
        restart = int(notes.get("podium.dev/restart", 0))
        execution, is_map = notes["podium.dev/execution"], "completionMode" in job["spec"]
        names[job["metadata"]["name"]] = (
            map_name(name, uid, execution) if is_map else job_name(name, uid, execution, restart)
        )
        fresh = json.loads(json.dumps(job))
        del fresh["spec"]["selector"]
        labels = fresh["spec"]["template"]["metadata"]["labels"]
        for label in [label for label in labels if label.endswith(("controller-uid", "job-name"))]:
            del labels[label]
        made = make(fresh)
        for pod in pods:
            if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]:
                number = pod_number(job, pod)
                names[pod["metadata"]["name"]] = _pod_names(made, pod)[number]
                make(pod)
    for run in state.of("WorkflowRun"):  # it names the UIDs of Jobs and Pods
        if status := now(run).get("status"):
            patch = json.dumps([{"op": "replace", "path": "/status", "value": status}])
            k("patch", "WorkflowRun", run["metadata"]["name"], "--subresource=status",
              "--type=json", "-p", patch)  # fmt: skip


def _pod_names(job, pod):
    """Return the names that the Pods of an execution have, in the Job of it."""
    index = pod["metadata"]["labels"].get(LABEL_INDEX)
    if index is None:
        return [build_pod(job, number)["metadata"]["name"] for number in range(PODS)]
    execution = pod["metadata"]["annotations"]["podium.dev/execution"]
    where = job["metadata"]["name"], job["metadata"]["uid"], execution, int(index)
    return [item_pod_name(*where, number) for number in range(PODS)]


def pod_number(job, pod):
    """Return which Pod of its Job a Pod is; the name says it, or it is not one of Podium's."""
    return _pod_names(job, pod).index(pod["metadata"]["name"])


def _moved(text, seconds):
    moment = datetime.fromtimestamp(datetime.fromisoformat(text).timestamp() + seconds, UTC)
    # Kubernetes' own times have whole seconds.
    return moment.isoformat(timespec="milliseconds" if "." in text else "seconds").replace(
        "+00:00", "Z"
    )
