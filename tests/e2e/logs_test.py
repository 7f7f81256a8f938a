"""Logs that are kept: by the chart's Deployment, in a bucket and in a volume, read without a Pod."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import buckets
from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.artifacts_test import claim_of
from tests.e2e.release import render
from tests.e2e.support import (
    IMAGE,
    TAG,
    Kubectl,
    kubectl_path,
    output,
    require_cluster,
    run,
    script,
    until,
    workflow_run,
)

__all__ = ["render"]  # a fixture
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NODES = [
    script("says", f"echo hello; echo problem >&2; {output(v=1)}", artifacts={}),
    script(
        "fails",
        'echo "try $PODIUM_EXECUTION"; exit 3',
        "says",
        retryPolicy={"maxAttempts": 2},
        allowFailure=True,
    ),
    script("long", "echo begin; seq 100000 103000; echo end", "says"),
]
KEPT = 64 << 10


@contextlib.contextmanager
def keeper(render, values, namespace, home):
    """Install what the chart has for logs, and wait until it runs."""
    images = f"image.repository={IMAGE},image.tag={TAG}"
    options = ["--set", images, "--set-json", f"artifacts={values}"]
    if home != namespace:
        options += ["--set", f"watchNamespaces={{{namespace}}}"]
    documents = [
        each for each in render(*options, namespace=home, release=f"podium-{namespace[-8:]}")
        if each["metadata"]["name"].endswith("-logs")
    ]  # fmt: skip
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})

    def kubectl(*arguments, stdin=None):
        done = run(kubectl_path(), *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr

    try:
        kubectl("apply", "-f", "-", stdin=text)
        (made,) = [each["metadata"] for each in documents if each["kind"] == "Deployment"]
        name, where = f"deployment/{made['name']}", made["namespace"]
        kubectl("rollout", "status", name, "-n", where, "--timeout=180s")
        yield
    finally:
        kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=text)


@contextlib.contextmanager
def bucket(render, k):
    """A bucket for all namespaces, with the Deployment in another one; gives where the logs lie."""
    api = connect()
    with buckets.server_for(api) as server, own_namespace(api) as home:
        for namespace in (k.namespace, home):
            buckets.make_secret(api, namespace)
        settings = buckets.settings_of(server, logs={"enabled": True, "keepBytes": KEPT})
        values = json.dumps(settings)
        with keeper(render, values, k.namespace, home):
            yield settings, server.root / buckets.BUCKET / k.namespace / "logs"


@contextlib.contextmanager
def volume(render, k):
    """A volume, with the Deployment beside it."""
    with claim_of(k) as place:
        logs = {"enabled": True, "keepBytes": KEPT, "namespaces": [k.namespace]}
        settings = {"pvc": {"claimName": "store", "singleNode": True}, "logs": logs}
        values = json.dumps(settings)
        with keeper(render, values, k.namespace, "podium-nowhere"):
            yield settings, place / "logs"


@pytest.mark.parametrize("store", [bucket, pytest.param(volume, marks=pytest.mark.long)])
def test_logs_are_found_when_their_pods_are_gone(render, tmp_path, store):
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, store(render, k := Kubectl(namespace)) as (told, place):
        with own_operator(namespace, tmp_path, {"artifacts": told}):
            k.apply(workflow_run("r", *NODES))
            k.wait("r")
        until(lambda: len([*place.rglob("*.log")]) == 4, 60)
        k("delete", "jobs,pods", "-l", "podium.dev/run", "--timeout=120s")

        def podium(*arguments):
            path = f"{Path(kubectl_path()).parent}:{os.environ['PATH']}"
            done = subprocess.run(
                [Path(sys.executable).with_name("podium"), "--cluster", "logs", "r", *arguments,
                 "-n", namespace],
                env={**os.environ, "PATH": path},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert sorted(podium("says").splitlines()) == ["hello", "problem"]
        assert podium("fails") == "try fails-2\n"
        assert podium("fails", "--previous") == "try fails-1\n"
        lines = podium("long").splitlines()
        assert (lines[0], lines[-1]) == ("begin", "end")
        assert [each for each in lines if each.startswith("podium: ")]
        assert max(each.stat().st_size for each in place.rglob("*.log")) <= KEPT + 100
        assert "[fails] try fails-2\n" in podium()

        def is_clear():
            """the Pods that read are gone"""
            names = [each["metadata"]["name"] for each in k.items("pods")]
            return not [each for each in names if each.startswith("podium-artifacts-")]

        until(is_clear, 60)
