"""Installing, upgrading and uninstalling while a run is under way."""

import pytest

from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import own_namespace
from tests.e2e.support import (
    HELD,
    Kubectl,
    chain,
    helm,
    install,
    let_go,
    output,
    script,
    started,
    until,
    workflow_run,
)

# Releases share what belongs to the whole cluster, the CRDs: one after the other.
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("lifecycle")]

RELEASE = "second"


@pytest.fixture
def own(podium):
    """kubectl in a namespace that only the release beside it (`home`) works in.

    It comes after the first release, which owns the CRDs.
    """
    with own_namespace(connect(), f"{home('{}')}:{RELEASE}-podium") as namespace:
        yield Kubectl(namespace)
        # Until all of it is gone: the next test installs what is the whole cluster's again.
        helm("uninstall", RELEASE, "-n", home(namespace), "--ignore-not-found", "--wait", ok=False)
        Kubectl(namespace)("delete", "namespace", home(namespace), "--wait=false", ok=False)


def home(namespace):
    """Return the namespace that the release is in: it works in others only."""
    return f"{namespace}-home"


def install_second(namespace, *options):
    watched = ("--set", f"watchNamespaces={{{namespace}}}")
    install(*watched, *options, release=RELEASE, namespace=home(namespace))


def test_an_upgrade_and_an_uninstall_mid_run(own):
    install_second(own.namespace)
    own.apply(
        workflow_run("up", script("a", HELD), script("b", output(v=1), "a")),
    )
    own.wait_node("up", "a", "Running")
    install_second(own.namespace, "--set", "logLevel=debug")
    let_go(own, started(own, "a"))
    assert own.wait("up")["nodes"]["b"]["output"] == {"v": 1}
    assert own.nodes("up")["a"]["executionCount"] == 1
    own.apply(workflow_run("left", script("a", "sleep 300"), script("b", "true", "a")))
    own.wait_node("left", "a", "Running")
    until(lambda: own.items("pods", "-l", "podium.dev/node=a"))
    helm("uninstall", RELEASE, "-n", home(own.namespace), "--wait", "--timeout=150s")
    assert own.nodes("left")["a"]["status"] == "Running", "runs and their Jobs are kept"
    # Nobody is there who could take anything off: the namespace must end all the same.
    own("delete", "namespace", own.namespace, "--timeout=200s")


def test_a_namespace_deleted_mid_run_ends(k):
    k.apply(workflow_run("gone", script("a", "sleep 300"), script("b", "true", "a")))
    k.wait_node("gone", "a", "Running")
    until(lambda: k.items("pods", "-l", "podium.dev/node=a"))
    k("delete", "namespace", k.namespace, "--timeout=200s")


def test_another_operator_takes_over_from_one_that_died(own):
    install_second(own.namespace, "--set", "replicas=2")
    beside = Kubectl(home(own.namespace))
    own.apply(workflow_run("chain", *chain("n1")))
    own.wait_node("chain", "n1", "Running")

    def holder():
        """one of them leads"""
        (lease,) = beside.items("leases")
        return lease["spec"].get("holderIdentity")

    first = until(holder)
    # The identity begins with the name of the Pod.
    beside("delete", "pod", first.partition("_")[0], "--grace-period=0", "--force")
    let_go(own, started(own, "n1"))
    status = own.wait("chain")
    assert {n: s["executionCount"] for n, s in status["nodes"].items()} == dict.fromkeys(
        [f"n{i}" for i in range(6)], 1
    )
    assert len(own.items("jobs")) == 6
    assert len(own.items("pods", "-l", "podium.dev/run=chain")) == 6
    assert holder() != first
