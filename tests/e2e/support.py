"""kubectl and helm as a user has them, and the release that the tests install."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from podium.cluster.feature_gates import parse_gates

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "podium"
IMAGE = "docker.io/library/podium"
TAG = "dev"
BUSYBOX = "docker.io/library/busybox"
SYSTEM = "podium-system"

ENDED = ("Succeeded", "Failed", "Cancelled")


FEATURE_GATES = {
    gate.value: on for gate, on in parse_gates(os.environ.get("PODIUM_FEATURE_GATES", "")).items()
}
"""Of the operators under test; PODIUM_FEATURE_GATES=ManagedJobs=false has Jobs as of old."""


def gate_options():
    """Return the feature gates of this session as options of helm."""
    return [
        word
        for gate, on in FEATURE_GATES.items()
        for word in ("--set", f"featureGates.{gate}={str(on).lower()}")
    ]


def run(*command, stdin=None, cwd=None):
    return subprocess.run(
        command, input=stdin, cwd=cwd, capture_output=True, text=True, check=False
    )


def until(check, seconds=120, every=0.3):
    """Wait until check() returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not within {seconds} s: {check.__doc__ or check}"
        time.sleep(every)
    return found


def helm(*arguments, ok=True):
    cached = sorted(Path.home().glob(".cache/podium/helm-*/helm"))
    found = os.environ.get("HELM") or shutil.which("helm") or (str(cached[-1]) if cached else None)
    if not found:
        pytest.fail("no helm: set HELM, put it in PATH, or run `make cluster`")
    done = run(found, *arguments)
    assert not ok or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done


def kubectl_path():
    cached = sorted(Path.home().glob(".cache/podium/kubectl-*/kubectl"))
    beside = sorted(Path.home().glob(".cache/podium/*/kubectl"))
    found = shutil.which("kubectl") or next((str(p) for p in [*cached, *beside]), None)
    return found or "kubectl"


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, namespace):
        self.namespace = namespace

    def __call__(self, *arguments, stdin=None, ok=True):
        if stdin is not None and not isinstance(stdin, str):
            if isinstance(stdin, list):
                stdin = {"apiVersion": "v1", "kind": "List", "items": stdin}
            stdin = json.dumps(stdin)
        done = run(kubectl_path(), "-n", self.namespace, *arguments, stdin=stdin)
        assert not ok or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def create(self, *documents):
        """Create objects, which may be too large for the annotation that `apply` leaves."""
        return self("create", "-f", "-", stdin=list(documents))

    def apply(self, *documents, ok=True):
        return self("apply", "-f", "-", stdin=list(documents), ok=ok)

    def get(self, kind, name):
        done = self("get", kind, name, "-o", "json", ok=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def items(self, kind, *options):
        return json.loads(self("get", kind, "-o", "json", *options).stdout)["items"]

    def status(self, name):
        found = self.get("workflowrun", name)
        return (found or {}).get("status", {})

    def nodes(self, name):
        return self.status(name).get("nodes", {})

    def states(self, name):
        """Return `{node: "Status reason"}`."""
        return {
            node: f"{state['status']} {state.get('reason', '')}".strip()
            for node, state in self.nodes(name).items()
        }

    def wait_node(self, name, node, *wanted, seconds=120):
        """Wait until a node has one of these statuses or reasons."""

        def there():
            state = self.nodes(name).get(node, {})
            return state if {state.get("status"), state.get("reason")} & set(wanted) else None

        there.__doc__ = f"{name}/{node} is {wanted}"
        try:
            return until(there, seconds)
        except AssertionError:
            print(self("get", "workflowruns,jobs,pods", "-o", "yaml").stdout)
            raise

    def wait(self, name, phase="Succeeded", seconds=240):
        """Wait for the end of a run, and return its status."""

        def ended():
            status = self.status(name)
            return status if status.get("phase") in ENDED else None

        ended.__doc__ = f"{name} ends"
        status = until(ended, seconds)
        assert status["phase"] == phase, json.dumps(status, indent=1)
        return status

    def events(self, name, reason=None):
        """Return the messages of the Events of a run."""
        return [
            event["message"]
            for event in self.items("events", f"--field-selector=involvedObject.name={name}")
            if reason in (None, event["reason"])
        ]


def workflow_run(name, *nodes, workflow=None, edges=(), **spec):
    """Make a WorkflowRun with a graph of its own, or of a Workflow."""
    if workflow is None:
        spec["workflowSpec"] = {
            "nodes": list(nodes), "edges": list(edges), **spec.pop("graph", {})
        }  # fmt: skip
    else:
        spec["workflowRef"] = {"name": workflow}
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": name},
        "spec": spec,
    }


def workflow(name, *nodes, **spec):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"nodes": list(nodes), **spec},
    }


def script(id, text, *after, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "script",
        "config": {"script": text},
        "dependsOn": list(after),
        **fields,
    }


def output(**values):
    """Return the line of a script that hands this over."""
    text = json.dumps(values).replace("'", "'\\''")
    return f"printf '%s' '{text}' >$PODIUM_OUTPUT"


HELD = "trap 'exit 7' TERM; until [ -e /dev/shm/go ]; do sleep 0.2; done; "
"""A program that works until `let_go`, however slow the machine of the tests is."""


def let_go(k, pod):
    done = k("exec", pod["metadata"]["name"], "--", "touch", "/dev/shm/go", ok=False)
    # 137: the program ended, and all in its container with it, before `touch` was reported.
    assert done.returncode in (0, 137), done.stderr


def chain(*held):
    """Return six nodes, n0 to n5, each after the one before; these work until they are let go."""
    names = [f"n{i}" for i in range(6)]
    return [
        script(name, (HELD if name in held else "") + output(i=i), *names[max(i - 1, 0) : i])
        for i, name in enumerate(names)
    ]


def started(k, node):
    """Wait until a node's program runs, and return its Pod."""

    def runs():
        pods = k.items("pods", "-l", f"podium.dev/node={node}")
        return next((pod for pod in pods if pod["status"]["phase"] == "Running"), None)

    runs.__doc__ = f"{node} has a Pod that runs"
    try:
        return until(runs, 120)
    except AssertionError:
        print(k("get", "workflowruns,jobs,pods", "-o", "yaml").stdout)
        raise


def require_cluster():
    """Fail where there is no cluster."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: set KUBECONFIG, `make cluster` prints it")
    answer = run(kubectl_path(), "get", "--raw=/readyz", "--request-timeout=10s")
    if answer.returncode:
        pytest.fail(f"the cluster of KUBECONFIG does not answer: {answer.stderr}")


def install(*options, release="podium", namespace=SYSTEM):
    """Install the chart with the real image, as the README says, and wait until it is ready."""
    arguments = [
        "upgrade", "--install", release, str(CHART), "-n", namespace, "--create-namespace",
        "--set", f"image.repository={IMAGE},image.tag={TAG}",
        # The CRDs may be there already, by `kubectl apply` of another test.
        "--take-ownership", "--wait", "--timeout=120s", *gate_options(), *options,
    ]  # fmt: skip
    done = helm(*arguments, ok=False)
    if "with the name" in done.stderr:
        # While Helm adopts, what it finds may go, and what it does not find may come: seen with a
        # ClusterRole, a policy and the CRDs, which other tests apply.
        done = helm(*arguments, ok=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


def install_once(session):
    """Install once for all workers of a test session."""
    require_cluster()
    mark = Path(tempfile.gettempdir()) / f"podium-e2e-{session}"
    with Path(tempfile.gettempdir(), "podium-e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            # The image has the same name after every build: another annotation, another Pod.
            install(
                *("--set-string", f"podAnnotations.test-session={session}"),
                *("--set", "outputs.fromLogs=true"),  # an example needs it
            )
            mark.touch()


def load(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]
