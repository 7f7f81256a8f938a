import os
import uuid

import pytest

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
