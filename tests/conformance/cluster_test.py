"""Each case on a cluster ends as it says, and equal to the same case on this machine."""

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack

import pytest

from tests.buckets import bucket_for
from tests.conformance import harness
from tests.conformance.cluster_shell import ClusterShell, connect
from tests.conformance.own_operator import apply_crds, own_namespace, own_operator
from tests.conformance.shells import LaptopShell
from tests.e2e.support import require_cluster
from tests.volumes import volumes_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]  # the first waits for all cases

AT_A_TIME = 12
"""Cases; a Pod is mostly waited for."""
EACH = 20
"""Cases between two lines of progress."""
SAMPLE = 4
"""Of so many cases one is carried out by the built-in Job controller in each run of the tests."""
LAPTOP, MANAGED, UNMANAGED = "laptop", "managed", "unmanaged"
"""Ways to carry a case out: who makes the Pods is nothing that its end may show."""


@pytest.fixture(scope="session")
def ends(request, tmp_path_factory):
    """Run the chosen cases side by side; gives a function from way, name and attempt to the end."""
    require_cluster()
    directory = tmp_path_factory.mktemp("conformance")

    def drive(name, shell):
        return asyncio.run(harness.drive(harness.load(name), shell))

    with ExitStack() as stack:
        api = connect()
        apply_crds(api)
        operators = {}

        def operator(way, attempt):
            """Start an operator of that way, once; a later attempt finds nothing of an earlier one."""
            if (way, attempt) not in operators:
                own = directory / f"{way}-{attempt}"
                own.mkdir()
                namespace = stack.enter_context(own_namespace(api))
                settings = {
                    "featureGates": {"ManagedJobs": way == MANAGED},
                    "outputs": {"fromLogs": True},
                    "approversAreVerified": True,
                    "artifacts": stack.enter_context(bucket_for(connect(), namespace)),
                }
                stack.enter_context(volumes_for(connect(), namespace))
                check = stack.enter_context(own_operator(namespace, own, settings))
                operators[way, attempt] = namespace, check
            return operators[way, attempt]

        def submit(way, name, attempt):
            if way == LAPTOP:
                return pool.submit(drive, name, LaptopShell(directory / f"{name}-{attempt}"))
            namespace, check = operator(way, attempt)

            def on_cluster():
                check()
                return drive(name, ClusterShell(connect(), namespace))

            return pool.submit(on_cluster)

        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        begun: dict[tuple[str, str, int], Future] = {}

        def begin(way, name, attempt=1):
            key = way, name, attempt
            if key not in begun:
                begun[key] = submit(*key)
            return begun[key]

        if "PYTEST_XDIST_WORKER" not in os.environ:  # whose workers share the cases among them
            for item in request.session.items:
                if item.function in WAYS:
                    for way in (WAYS[item.function], LAPTOP):
                        begin(way, item.callspec.params["name"])
        # All of them before the first test goes on: at each of its steps pytest changes the
        # environment, which the threads read.
        for count, _ in enumerate(as_completed(begun.values()), 1):
            if count % EACH == 0 or count == len(begun):
                _say(request.config, f"{count} of {len(begun)} cases ended")
        try:
            yield lambda *key: begin(*key).result()
        finally:
            pool.shutdown(cancel_futures=True)  # before the operators end


def _say(config, line):
    """Print progress, past pytest's capture."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.pluginmanager.getplugin("terminalreporter").write_line(line)


def _check(name, way, ends, request):
    case = harness.load(name)
    attempt = getattr(request.node, "execution_count", 1)  # of pytest-rerunfailures
    on_cluster, on_laptop = ends(way, name, attempt), ends(LAPTOP, name, attempt)
    assert not harness.differences(case.expect, on_cluster), case.rule
    assert harness.normalised(on_cluster) == harness.normalised(on_laptop), case.rule


@pytest.mark.parametrize("name", harness.names("cluster"))
def test_cluster(name, ends, request):
    _check(name, MANAGED, ends, request)


def _sampled(names):
    return [
        name if place % SAMPLE == 0 else pytest.param(name, marks=pytest.mark.long)
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize("name", _sampled(harness.names("cluster")))
def test_cluster_unmanaged(name, ends, request):
    """The built-in controller makes the Pods, as where the cluster does not know managedBy.

    What a case means is decided by the engine, the same for both: most are left to the long tests.
    """
    _check(name, UNMANAGED, ends, request)


WAYS = {test_cluster: MANAGED, test_cluster_unmanaged: UNMANAGED}
