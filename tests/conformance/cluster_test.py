"""Each case on a cluster ends as it says, and equal to the same case on this machine."""

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.conformance import harness
from tests.conformance.cluster_shell import ClusterShell, connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.conformance.shells import LaptopShell
from tests.e2e.support import require_cluster

pytestmark = pytest.mark.cluster

AT_A_TIME = 8
"""Cases; a Pod is mostly waited for."""


@pytest.fixture(scope="session")
def ends(request, tmp_path_factory):
    """Run the chosen cases side by side; gives a function from a name to both ends."""
    require_cluster()
    folder = tmp_path_factory.mktemp("conformance")

    async def run(name):
        case = harness.load(name)
        on_cluster = await harness.drive(case, ClusterShell(connect(), namespace))
        return on_cluster, await harness.drive(case, LaptopShell(folder / name))

    def both(name):
        check_operator()
        return asyncio.run(run(name))

    with ExitStack() as stack:
        api = connect()
        apply_crds(api)
        namespace = stack.enter_context(own_namespace(api))
        check_operator = stack.enter_context(own_operator(namespace, folder))
        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        stack.callback(pool.shutdown, cancel_futures=True)
        begun: dict[str, Future] = {}
        if "PYTEST_XDIST_WORKER" not in os.environ:  # whose workers share the cases among them
            for item in request.session.items:
                if item.function is test_cluster:
                    name = item.callspec.params["name"]
                    begun[name] = pool.submit(both, name)
        yield lambda name: (begun.get(name) or pool.submit(both, name)).result()


@pytest.mark.parametrize("name", harness.names())
def test_cluster(name, ends):
    case = harness.load(name)
    on_cluster, on_laptop = ends(name)
    assert not harness.differences(case.expect, on_cluster), case.rule
    assert harness.normalised(on_cluster) == harness.normalised(on_laptop), case.rule
