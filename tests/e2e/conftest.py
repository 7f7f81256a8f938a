import os
import uuid

import pytest

from tests.conformance.cluster_shell import connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.e2e.support import Kubectl, install_once, require_cluster


@pytest.fixture(scope="session")
def podium():
    """The operator, installed by Helm, serving all namespaces."""
    install_once(os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid()))


@pytest.fixture
def k(podium, request):
    """kubectl in a namespace of the test's own."""
    require_cluster()
    kubectl = Kubectl(f"e2e-{uuid.uuid4().hex[:8]}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false", ok=False)


@pytest.fixture
def mine(tmp_path):
    """kubectl in a namespace with an operator of its own, of these sources."""
    require_cluster()
    api = connect()
    apply_crds(api)
    with own_namespace(api) as namespace, own_operator(namespace, tmp_path):
        yield Kubectl(namespace)


@pytest.fixture(params=["managed", pytest.param("unmanaged", marks=pytest.mark.long)])
def both(request, tmp_path):
    """kubectl in a namespace with an operator of its own, of these sources, in both ways.

    Who makes the Pods, Podium or the built-in Job controller, is nothing that users may notice.
    """
    require_cluster()
    api = connect()
    apply_crds(api)
    settings = {"featureGates": {"ManagedJobs": request.param == "managed"}}
    with own_namespace(api) as namespace, own_operator(namespace, tmp_path, settings):
        yield Kubectl(namespace)
