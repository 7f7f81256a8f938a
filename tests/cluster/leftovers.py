"""Namespaces that a killed test suite left behind, whose finalizers nothing takes off any more."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from subprocess import CompletedProcess
from typing import Any

from tests.cluster.console import say

__all__ = ["remove"]

OURS = re.compile(r"(conformance|crash|e2e|faults|bench|tenant|podium-chart)-[0-9a-f]{8}(-[tx])?")
"""Names of the namespaces that tests and benchmarks make."""
STUCK_SECONDS = 300
"""A namespace that is still being deleted after so long is stuck."""
UNUSED_SECONDS = 12 * 3600
"""No suite takes so long: one that uses a younger namespace may be running now."""
HELD = ("pods", "jobs", "persistentvolumeclaims", "workflowruns.podium.dev")
"""What may carry finalizers of tests, or of an operator that was killed."""
NO_FINALIZERS = '{"metadata": {"finalizers": null}}'
POLICIES = ("validatingadmissionpolicybindings", "validatingadmissionpolicies")
"""In a namespace of its own, conformance guards what it makes by a policy of the same name."""

Kubectl = Callable[..., CompletedProcess[str]]


def remove(kubectl: Kubectl) -> None:
    """Remove the namespaces that are stuck or unused, and say which."""
    for name in _left(_items(kubectl, "namespaces"), time.time()):
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        freed = [f"{kind}/{each}" for kind in HELD for each in _free(kubectl, name, kind)]
        for kind in POLICIES:
            kubectl("delete", kind, name, "--ignore-not-found")
        shown = ", ".join(freed[:5]) + (f" and {len(freed) - 5} more" if len(freed) > 5 else "")
        say(
            f"removed the namespace {name}, which a test suite left behind"
            + (f"; took the finalizers off {shown}" if freed else "")
        )


def _left(namespaces: list[Any], now: float) -> Iterator[str]:
    """Give the names of those that no suite uses."""
    for each in namespaces:
        meta = each["metadata"]
        if not OURS.fullmatch(meta["name"]):
            continue
        is_stuck = now - _time(meta.get("deletionTimestamp"), now) > STUCK_SECONDS
        if is_stuck or now - _time(meta["creationTimestamp"], now) > UNUSED_SECONDS:
            yield meta["name"]


def _free(kubectl: Kubectl, namespace: str, kind: str) -> Iterator[str]:
    """Take the finalizers off the objects of a kind; give the names of those that had some."""
    for each in _items(kubectl, kind, "-n", namespace):
        meta: Mapping[str, Any] = each["metadata"]
        if meta.get("finalizers"):
            patch = ("--type=merge", "-p", NO_FINALIZERS)
            if kubectl("patch", kind, meta["name"], "-n", namespace, *patch).returncode == 0:
                yield meta["name"]


def _items(kubectl: Kubectl, *arguments: str) -> list[Any]:
    done = kubectl("get", *arguments, "-o", "json")
    return json.loads(done.stdout)["items"] if done.returncode == 0 else []


def _time(text: str | None, default: float) -> float:
    return default if text is None else datetime.fromisoformat(text).timestamp()
